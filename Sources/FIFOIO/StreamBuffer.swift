internal import CLinux
internal import Glibc

/// The newest bytes of a stream in one piece of memory, addressed by their offset from the stream's start.
///
/// The memory is a file's, in which another worker finds them after this one was killed: what has been read of a FIFO is
/// nowhere else. So a read announces itself there, and what it was about is settled when the file is opened again
/// (clinux_ring_read).
struct StreamBuffer: ~Copyable {
  private var ring: OpaquePointer?
  private var path: String?
  /// What is left of it once it is let go of.
  private var last: (end: UInt64, ended: UInt32) = (0, 0)
  /// At least so many bytes are kept; older ones go when there is need for their place.
  let limit: Int

  /// Beyond the limit: a read's worth, and what clients that have died may have been sent and not read.
  private static let slack = 192 << 10

  /// - Parameters:
  ///   - path: nil for one that is to be lost with the worker.
  ///   - existing: opens the one that an earlier worker made, which may have another limit.
  init(limit: Int, path: String? = nil, existing: Bool = false) throws(SystemError) {
    self.limit = limit
    self.path = path
    guard let ring = clinux_ring_open(path, UInt64(limit + StreamBuffer.slack), !existing) else {
      throw SystemError.last("open \(path ?? "memory")")
    }
    self.ring = ring
  }

  deinit {
    if let ring { clinux_ring_close(ring) }
  }

  /// Nothing comes any more and nothing is kept: the numbers are enough.
  mutating func letGo() {
    last = (end, ended)
    if let ring { clinux_ring_close(ring) }
    ring = nil
    remove()
  }

  /// The file's place is another one's from now on.
  mutating func giveUpPlace() {
    path = nil
  }

  /// Removes the file, once: later its place may be another one's. What it holds stays until the end.
  mutating func remove() {
    if let path { unlink(path) }
    path = nil
  }

  /// The offset of the oldest byte that is kept, and of the next one to come.
  var start: UInt64 { ring.map(clinux_ring_start) ?? last.end }
  var end: UInt64 { ring.map(clinux_ring_end) ?? last.end }
  var count: Int { Int(end - start) }

  /// The first byte that nobody has taken.
  var position: UInt64 {
    get { ring.map(clinux_ring_position) ?? last.end }
    nonmutating set { if let ring { clinux_ring_set_position(ring, newValue) } }
  }

  /// How the stream ended, in its reader's numbers; 0 while it has not.
  var ended: UInt32 {
    get { ring.map(clinux_ring_ended) ?? last.ended }
    nonmutating set { if let ring { clinux_ring_set_ended(ring, newValue) } }
  }

  /// Where the stream is to end; 0 while nobody has said.
  var endsAt: UInt64 {
    get { ring.map(clinux_ring_ends_at) ?? 0 }
    nonmutating set { if let ring { clinux_ring_set_ends_at(ring, newValue) } }
  }

  /// Appends what a FIFO has: so many bytes, 0 at its end, nil when there is nothing yet.
  func read(from fifo: borrowing Descriptor, atMost limit: Int) throws(SystemError) -> Int? {
    guard let ring else { return nil }
    let count = clinux_ring_read(ring, fifo.raw, limit)
    if count >= 0 { return count }
    if errno == EAGAIN { return nil }
    throw SystemError.last("read")
  }

  /// Appends bytes, at most as many as the limit; none where there is no room for all.
  func append(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    guard let ring, !bytes.isEmpty else { return }
    if !clinux_ring_append(ring, bytes.baseAddress, bytes.count) { throw SystemError.last("keep bytes") }
  }

  /// What is kept from an offset on, at most so many bytes; empty where nothing is.
  func bytes(from offset: UInt64, atMost limit: Int) -> UnsafeRawBufferPointer {
    let (start, end) = (start, end)
    guard let ring, offset >= start, offset < end else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(
      start: clinux_ring_bytes(ring, offset), count: min(limit, Int(end - offset)))
  }

  /// So many bytes have gone by elsewhere: nothing is kept, and the position is behind them.
  func skip(_ count: Int) {
    if let ring { clinux_ring_skip(ring, UInt64(count)) }
  }

  /// Forgets what comes before an offset.
  func drop(before offset: UInt64) {
    if let ring { clinux_ring_drop(ring, offset) }
  }

  /// Gives memory back where nothing is kept; to be called when little is going on.
  func trim() {
    if let ring { clinux_ring_trim(ring) }
  }
}
