internal import CLinux

/// Where output goes. It takes what it wants when it can, by `OutputReader.bytes`.
@Loop
package protocol OutputSink: AnyObject, Sendable {
  /// There is more to take, or the end to tell.
  func wake()
  /// The controller's: these bytes, offsets from the start of the stream, will not be had any more, and it is over.
  func gave(up range: Range<UInt64>)
  /// It is over; what can't be taken at once is missed.
  func finish()
}

/// What becomes of output that nobody reads, once the backlog is full.
package enum Overflow: String, Sendable, CaseIterable {
  /// The process waits.
  case block
  /// The oldest goes.
  case drop
}

/// One output stream of a process: reads its FIFO, counts, and keeps the newest bytes for those who take them: one
/// controller, whose pace decides how much is read, and any number of observers, who miss what they don't take in time.
@Loop
package final class OutputReader: ReadinessHandler {
  package enum End: String, Sendable, CaseIterable {
    case eof, timeout, lost
    /// A client reads the FIFO itself.
    case handedOver = "handed_over"

    /// As it is kept for another worker; 0 is none.
    fileprivate var number: UInt32 { UInt32(1 + (End.allCases.firstIndex(of: self) ?? 0)) }
  }

  /// How the stream ended, nil while it has not.
  package private(set) var end: End? {
    didSet { buffer.ended = end?.number ?? 0 }
  }
  package private(set) weak var controller: (any OutputSink)?
  /// The first byte that no controller has taken. What comes before it is kept while there is room, for who comes again.
  package internal(set) var position: UInt64 {
    get { buffer.position }
    set { buffer.position = newValue }
  }

  var buffer: StreamBuffer
  let backlog: Int
  let overflow: Overflow
  var observers: [any OutputSink] = []
  var endTaken = false
  var discards = false
  /// Nobody had the FIFO open to write, and nothing was in it, when it was opened anew.
  private var isDeserted = false
  /// It was opened anew, and its last writer may have gone before that, which the poller does not tell.
  var mayHaveMissedEnd = false
  /// By what name the keeper holds the FIFO, if it does.
  private let keptAs: String?
  /// What is taken is not kept.
  private var forgets = false
  /// Where everything goes without a copy, instead of to a controller.
  var pipe: PipeWatch?
  /// What of it went that way lies before this.
  package internal(set) var givenAway: UInt64 = 0
  var descriptor: Descriptor?
  /// A writing end of our own, without which the FIFO would be at its end when the first writer goes.
  private var placeholder: Descriptor?
  var registration: Poller.Registration?
  /// True while it is watched for its end alone.
  var isMuted = false
  /// Nothing is read, and no end is seen.
  private(set) var isHeld = false
  var pacer = ReadPacer()
  /// Set while the stream is visited instead of watched.
  var visit: Poller.TimerID?
  let onEnd: @Loop () -> Void
  // Made once: a visit of a busy stream allocates nothing.
  lazy var onVisit: @Loop () -> Void = { [weak self] in
    self?.visit = nil
    self?.read()
  }

  /// What may wait for a controller, however small the backlog is.
  private static let underWay = 65536

  /// Opens the FIFO, before the process is created or started. The first read waits for the first readiness: with no
  /// writer yet a read would look like end of file, while epoll reports nothing.
  ///
  /// - Parameters:
  ///   - store: the file that keeps what is read; nil for none that outlives the worker.
  ///   - backlog: the bytes that are kept while nobody reads.
  ///   - outlastsWriters: there may be writers that go before the one that counts, until `writerIsThere`.
  ///   - onEnd: called when the stream has ended at this end, and when its controller has taken all of it or has gone.
  package init(
    path: String, store: String?, backlog: Int, overflow: Overflow, outlastsWriters: Bool = false,
    onEnd: @escaping @Loop () -> Void
  ) throws(SystemError) {
    self.backlog = backlog
    self.overflow = overflow
    self.onEnd = onEnd
    let opened = try FIFOSet.open(path, write: false)
    if outlastsWriters { placeholder = try FIFOSet.open(path, write: true) }
    buffer = try StreamBuffer(limit: max(backlog, OutputReader.underWay), path: store)
    keptAs = store == nil ? nil : path
    try start(opened)
  }

  /// Goes on where an earlier worker stopped.
  package init(
    resuming path: String, store: String, backlog: Int, overflow: Overflow, onEnd: @escaping @Loop () -> Void
  ) throws(SystemError) {
    self.backlog = backlog
    self.overflow = overflow
    self.onEnd = onEnd
    buffer = try StreamBuffer(limit: max(backlog, OutputReader.underWay), path: store, existing: true)
    let ended = buffer.ended
    end = End.allCases.first { $0.number == ended }
    if end != nil {
      keptAs = nil
      return
    }
    let opened: Descriptor
    do throws(SystemError) {
      opened = try FIFOSet.open(path, write: false)
    } catch {
      if error.isShortage { throw error }
      // What was read is still there.
      keptAs = nil
      end = .lost
      return
    }
    isDeserted = clinux_fifo_writer(opened.raw) == CLINUX_NO_WRITER
    mayHaveMissedEnd = true
    keptAs = path
    try start(opened)
  }

  private func start(_ opened: consuming Descriptor) throws(SystemError) {
    if let keptAs { FIFOKeeper.shared?.hold(keptAs, opened) }
    registration = try Poller.shared.add(opened, readable: true, writable: false, handler: self)
    descriptor = consume opened
  }

  /// When it goes, the stream is at its end.
  package func writerIsThere() { placeholder = nil }

  /// Leaves everything in the FIFO, for who is to have it from the first byte on.
  package func hold() {
    isHeld = true
    setReading(false)
  }

  package func endHold() {
    isHeld = false
    resumeReading()
  }

  /// Bytes read from the FIFO so far.
  package var bytesRead: UInt64 { buffer.end }
  /// The offset of the oldest byte that can still be had.
  package var oldest: UInt64 { buffer.start }
  /// True when it has ended and nobody is to be waited for.
  package var isOver: Bool {
    guard let end else { return false }
    return end == .handedOver || endTaken || controller == nil && pipe == nil
  }
  /// True when a client has it in a way that leaves no place for a controller.
  package var isGivenAway: Bool { pipe != nil || end == .handedOver }

  // MARK: - Who takes it

  /// - Parameter position: the first byte that it wants, at most `bytesRead`.
  package func attach(controller sink: any OutputSink, at position: UInt64) {
    controller = sink
    self.position = position
    sink.wake()
    resumeReading()
  }

  package func attach(observer sink: any OutputSink) {
    observers.append(sink)
    sink.wake()
  }

  package func detach(_ sink: any OutputSink) {
    observers.removeAll { $0 === sink }
    guard controller === sink else { return }
    controller = nil
    setReading(room > 0)
    // Nobody takes it any more: that may have been the last thing.
    onEnd()
  }

  /// What is kept from an offset on; valid until the next turn of the loop.
  package func bytes(from offset: UInt64, atMost limit: Int) -> UnsafeRawBufferPointer {
    buffer.bytes(from: offset, atMost: limit)
  }

  /// The controller has taken everything before an offset.
  package func took(upTo offset: UInt64, by sink: any OutputSink) {
    guard controller === sink else { return }
    position = offset
    if forgets, end != nil, offset == bytesRead { return dropTaken() }
    // Not for each chunk: reading goes on once a good part of the room is free.
    if registration == nil || isMuted, visit == nil, room >= buffer.limit / 2 { resumeReading() }
  }

  /// The controller has been told of the end.
  package func tookEnd(by sink: any OutputSink) {
    guard controller === sink else { return }
    endTaken = true
    onEnd()
  }

  /// Nobody will ever want it: it is read and dropped, so that the process and its shim are not held up.
  package func discard() {
    discards = true
    dropTaken()
    resumeReading()
  }

  /// What a controller has taken is not kept any longer for who comes again.
  package func dropTaken() {
    forgets = true
    forgetTaken()
    buffer.trim()
  }

  func forgetTaken() {
    if discards { position = bytesRead }
    buffer.drop(before: position)
    if end != nil, buffer.count == 0 { buffer.letGo() }
  }

  /// Another process of the same name has the place of the file that keeps its output.
  package func giveUpPlace() {
    buffer.giveUpPlace()
  }

  /// The process is forgotten, and with it what of its output is kept beyond this worker.
  package func removeStore() {
    buffer.remove()
  }

  /// Looks whether it is over: a FIFO that was opened when its writer had gone never tells. What was in it then is there
  /// only if somebody has kept it.
  package func expectEnd() {
    guard mayHaveMissedEnd, end == nil, let raw = descriptor?.raw, unread == 0 else { return }
    switch clinux_fifo_writer(raw) {
    case CLINUX_NO_WRITER: finish(isDeserted && FIFOKeeper.shared?.hasKept != true ? .lost : .eof)
    // One that is seen after the opening is one whose end is told (pipe_poll in Linux's fs/pipe.c).
    case CLINUX_HAS_WRITER: mayHaveMissedEnd = false
    default: break
    }
  }

  /// The worker ends; another one goes on.
  package func letGo() {
    close()
  }

  // MARK: - Ends

  /// Gives up on the FIFO: nothing more is read from it.
  package func abandon(_ end: End) {
    finish(end)
  }

  /// The drain deadline has passed: no more is read, and what the controller has not taken goes no further.
  package func giveUp() {
    if isOver { return }
    finish(.timeout)
    if pipe != nil {
      end = .timeout
      endPipe()
    }
    guard let controller, !endTaken else { return }
    // Also where the FIFO had ended: the controller did not get all of it.
    if position < bytesRead { end = .timeout }
    endTaken = true
    controller.gave(up: position..<bytesRead)
    position = bytesRead
  }

  /// The process was never there; nobody is waited for.
  package func finishSinks() {
    controller?.finish()
    finishObservers()
  }

  /// The process is over; observers are not waited for.
  package func finishObservers() {
    for observer in observers { observer.finish() }
    observers = []
  }

  func finish(_ end: End) {
    if self.end != nil { return }
    self.end = end
    if let keptAs { FIFOKeeper.shared?.drop(keptAs) }
    close()
    controller?.wake()
    for observer in observers { observer.wake() }
    pump()
    onEnd()
  }

  private func close() {
    unwatch()
    if let visit { Poller.shared.cancel(visit) }
    visit = nil
    descriptor = nil
    placeholder = nil
  }
}
