internal import CLinux
internal import Glibc

/// Where output goes.
@Loop
package protocol OutputSink: AnyObject, Sendable {
  /// False holds the stream back until `OutputReader.resume`.
  var hasRoom: Bool { get }
  /// Takes a chunk and says how much of it; what is left (part of a character) comes again with what follows.
  func deliver(_ chunk: UnsafeRawBufferPointer, from reader: OutputReader, offset: UInt64, final: Bool) -> Int
  /// True when what was delivered precedes all that will be told from now on.
  var isFlushed: Bool { get }
  /// These bytes, offsets from the start of the stream, will not be delivered.
  func gave(up range: Range<UInt64>, of reader: OutputReader)
  /// All has been delivered.
  func ended(_ reader: OutputReader)
}

/// One output stream of a process: reads its FIFO, counts, and gives to at most one sink. Without a sink it keeps a
/// bounded backlog; when that is full it stops reading, which in the end blocks the process.
@Loop
package final class OutputReader: ReadinessHandler {
  package enum End: String, Sendable {
    case eof, timeout, lost
  }

  /// Bytes read from the FIFO so far.
  package private(set) var bytesRead: UInt64 = 0
  /// Bytes handed to sinks so far: the offset of the next chunk.
  package private(set) var bytesDelivered: UInt64 = 0
  /// How the stream ended, nil while it has not.
  package private(set) var end: End?
  package private(set) weak var sink: (any OutputSink)?

  private var descriptor: Descriptor?
  private var registration: Poller.Registration?
  private var pacer = ReadPacer()
  /// Set while the stream is visited instead of watched.
  private var visit: Poller.TimerID?
  private var backlog: [UInt8] = []
  private let backlogLimit: Int
  private var endTold = false
  private let onEnd: @Loop () -> Void

  /// All streams read into one buffer: a chunk never outlives the round that read it.
  private static let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 49152, alignment: 64)

  /// Opens the FIFO, before the process is created or started. The first read waits for the first readiness: with no
  /// writer yet a read would look like end of file, while epoll reports nothing.
  ///
  /// - Parameter onEnd: called once, when the stream has ended at this end; a backlog may still wait for a sink.
  package init(
    path: String, backlogLimit: Int = 262_144, onEnd: @escaping @Loop () -> Void
  ) throws(SystemError) {
    self.backlogLimit = backlogLimit
    self.onEnd = onEnd
    let opened = try FIFOSet.open(path, write: false)
    descriptor = nil
    registration = nil
    registration = try Poller.shared.add(opened, readable: true, writable: false, handler: self)
    descriptor = consume opened
  }

  /// True when nothing is left to give and nothing will come.
  package var isDrained: Bool { end != nil && backlog.isEmpty }

  /// The number of bytes that wait here for a sink.
  package var waiting: Int { backlog.count }

  package func attach(_ sink: any OutputSink) {
    self.sink = sink
    resume()
  }

  /// Takes the sink off, where it is this one's.
  package func detach(_ sink: any OutputSink) {
    guard self.sink === sink else { return }
    self.sink = nil
    setReading(backlog.count < backlogLimit)
  }

  /// The sink has room again.
  package func resume() {
    guard let sink else { return }
    flush(to: sink)
    if sink.hasRoom { setReading(true) }
  }

  /// Gives up on the FIFO: nothing more is read from it.
  package func abandon(_ end: End) {
    finish(end)
  }

  /// The drain deadline has passed: no more is read, and what waits for the sink goes no further.
  package func giveUp() {
    if isDrained { return }
    finish(.timeout)
    guard let sink, !backlog.isEmpty else { return }
    // Also where the FIFO had ended: the sink did not get all of it.
    end = .timeout
    backlog = []
    sink.gave(up: bytesDelivered..<bytesRead, of: self)
    bytesDelivered = bytesRead
  }

  package func ready(readable: Bool, writable: Bool, hangup: Bool) {
    read()
  }

  /// Reads once, and sees to the next time.
  private func read() {
    if let sink, !sink.hasRoom { return setReading(false) }
    let scratch = OutputReader.scratch
    let room = sink == nil ? min(scratch.count, backlogLimit - backlog.count) : scratch.count
    if room <= 0 { return setReading(false) }
    do throws(SystemError) {
      let count = try descriptor?.read(into: UnsafeMutableRawBufferPointer(rebasing: scratch.prefix(room)))
      if count == 0 { return finish(.eof) }
      bytesRead += UInt64(count ?? 0)
      pace(count ?? 0)
      if let count { take(UnsafeRawBufferPointer(rebasing: scratch.prefix(count))) }
    } catch {
      finish(.lost)
    }
  }

  private func pace(_ count: Int) {
    switch pacer.next(after: count, now: clinux_monotonic_ns()) {
    case .whenReady: setReading(true)
    case .after(let nanoseconds):
      unwatch()
      visit = Poller.shared.schedule(after: .nanoseconds(nanoseconds), onVisit)
    }
  }

  // Made once: a visit of a busy stream allocates nothing.
  private lazy var onVisit: @Loop () -> Void = { [weak self] in
    self?.visit = nil
    self?.read()
  }

  private func take(_ chunk: UnsafeRawBufferPointer) {
    guard let sink else {
      backlog.append(contentsOf: chunk)
      return
    }
    guard backlog.isEmpty else {
      backlog.append(contentsOf: chunk)
      return flush(to: sink)
    }
    let taken = sink.deliver(chunk, from: self, offset: bytesDelivered, final: false)
    bytesDelivered += UInt64(taken)
    backlog.append(contentsOf: chunk.dropFirst(taken))
  }

  private func flush(to sink: any OutputSink) {
    var start = 0
    while start < backlog.count, sink.hasRoom {
      let limit = min(backlog.count, start + OutputReader.scratch.count)
      let final = end != nil && limit == backlog.count
      let taken = backlog.withUnsafeBytes { bytes in
        sink.deliver(
          UnsafeRawBufferPointer(rebasing: bytes[start..<limit]), from: self, offset: bytesDelivered,
          final: final)
      }
      if taken == 0 { break }
      bytesDelivered += UInt64(taken)
      start += taken
    }
    backlog.removeFirst(start)
    if backlog.isEmpty { backlog = [] }
    if isDrained, !endTold {
      endTold = true
      sink.ended(self)
    }
  }

  private func finish(_ end: End) {
    if self.end != nil { return }
    self.end = end
    close()
    if let sink { flush(to: sink) }
    onEnd()
  }

  private func close() {
    setReading(false)
    descriptor = nil
  }

  /// A stream that is not to be read leaves the poller: without interest epoll would still report a hangup, again and
  /// again.
  private func setReading(_ wanted: Bool) {
    if wanted {
      if registration == nil, visit == nil, descriptor != nil { watch() }
    } else {
      unwatch()
      if let visit { Poller.shared.cancel(visit) }
      visit = nil
    }
  }

  private func unwatch() {
    if let registration { Poller.shared.remove(registration) }
    registration = nil
  }

  private func watch() {
    do throws(SystemError) {
      registration = try descriptor?.watch(by: self)
    } catch {
      finish(.lost)
    }
  }
}

extension Descriptor {
  @Loop
  fileprivate borrowing func watch(by reader: OutputReader) throws(SystemError) -> Poller.Registration {
    try Poller.shared.add(self, readable: true, writable: false, handler: reader)
  }
}
