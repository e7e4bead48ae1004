/// The newest bytes of a stream in one piece of memory, addressed by their offset from the stream's start.
///
/// A ring would save moving them to the front at times, and tear characters apart where it wraps.
struct StreamBuffer: ~Copyable {
  /// The offset of the oldest byte that is kept, and of the next one to come.
  private(set) var start: UInt64 = 0
  private(set) var end: UInt64 = 0
  private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// Where `start` is in memory.
  private var first = 0
  /// At least so many bytes are kept; older ones go when there is need for their place.
  let limit: Int

  init(limit: Int) {
    self.limit = limit
  }

  deinit {
    memory.deallocate()
  }

  var count: Int { Int(end - start) }

  /// Appends bytes, at most as many as the limit.
  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    if bytes.isEmpty { return }
    makeRoom(for: bytes.count)
    let place = first + count
    UnsafeMutableRawBufferPointer(rebasing: memory[place..<(place + bytes.count)]).copyMemory(from: bytes)
    end += UInt64(bytes.count)
  }

  /// What is kept from an offset on, at most so many bytes; empty where nothing is.
  borrowing func bytes(from offset: UInt64, atMost limit: Int) -> UnsafeRawBufferPointer {
    guard offset >= start, offset < end else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let from = first + Int(offset - start)
    let length = min(limit, Int(end - offset))
    return UnsafeRawBufferPointer(rebasing: memory[from..<(from + length)])
  }

  /// So many bytes have gone by elsewhere; nothing is kept.
  mutating func skip(_ count: Int) {
    drop(before: end)
    start += UInt64(count)
    end = start
  }

  /// Forgets what comes before an offset; gives all memory back where that is everything.
  mutating func drop(before offset: UInt64) {
    let dropped = min(max(offset, start), end)
    first += Int(dropped - start)
    start = dropped
    guard start == end else { return }
    memory.deallocate()
    memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    first = 0
  }

  private mutating func makeRoom(for more: Int) {
    if first + count + more <= memory.count { return }
    let excess = count + more - limit
    if excess > 0 {
      let dropped = min(excess, count)
      first += dropped
      start += UInt64(dropped)
    }
    let needed = count + more
    // Half as much again as is kept, so that moving to the front is seldom; a stream that says little needs little.
    let capacity =
      needed + needed / 2 <= memory.count ? memory.count : min(max(4096, 2 * needed), limit + limit / 2)
    let kept = UnsafeRawBufferPointer(rebasing: memory[first..<(first + count)])
    if capacity == memory.count {
      memory.copyMemory(from: kept)
    } else {
      let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(capacity, needed), alignment: 64)
      larger.copyMemory(from: kept)
      memory.deallocate()
      memory = larger
    }
    first = 0
  }
}
