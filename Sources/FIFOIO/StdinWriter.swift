internal import Glibc

/// stdin of one process: keeps bytes until the shim reads, writes them, and closes in step with the process's start.
@Loop
package final class StdinWriter: ReadinessHandler {
  var machine: StdinMachine
  private let path: String
  /// What is accepted. Its position is up to where it is written, its end is marked once no more is to come.
  var buffer: StreamBuffer
  var descriptor: Descriptor?
  var registration: Poller.Registration?
  private var retry: Poller.TimerID?
  private var delay = Duration.milliseconds(1)
  /// Set from when all is written until the memory for it is given back.
  private var rest: Poller.TimerID?
  private let closeIO: @Loop () -> Void
  private let onBreak: @Loop () -> Void
  private let onCredit: @Loop (UInt64) -> Void
  /// Where everything comes from without a copy, instead of by `write`.
  var pipe: PipeWatch?
  /// Asked to close: once the pipe is empty.
  var closesWithPipe = false
  private var toldCredit: UInt64 = 0
  private let waiters = Waiters()

  /// Bytes that wait here; more make writers wait.
  private static let limit = 1 << 20
  /// With a last write that began when there was room, of a line's length.
  private static let capacity = 2 * limit
  /// Not after each write: that took more time than all else of a write.
  private static let restTime = Duration.seconds(1)

  /// - Parameters:
  ///   - store: the file that keeps what is accepted; nil for none that outlives the worker.
  ///   - resuming: goes on where an earlier worker stopped. What it was writing just when it was killed may be written
  ///     twice: the kernel does not tell how much of it was.
  ///   - closeIO: tells containerd, once.
  ///   - onBreak: called when the process has stopped reading before all was written.
  ///   - onCredit: called when much more may be written without waiting, with the offset up to where.
  package init(
    path: String, store: String?, resuming: Bool = false, closeIO: @escaping @Loop () -> Void,
    onBreak: @escaping @Loop () -> Void, onCredit: @escaping @Loop (UInt64) -> Void
  ) throws(SystemError) {
    self.path = path
    buffer = try StreamBuffer(limit: StdinWriter.capacity, path: store, existing: resuming)
    // What is not kept any more is not to be written.
    let written = max(buffer.position, buffer.start)
    buffer.position = written
    machine = StdinMachine(
      accepted: buffer.end, pending: Int(buffer.end - written), closed: buffer.ended != 0,
      closesAt: buffer.endsAt == 0 ? nil : buffer.endsAt)
    self.closeIO = closeIO
    self.onBreak = onBreak
    self.onCredit = onCredit
    toldCredit = credit
  }

  package var offset: UInt64 { machine.accepted }
  /// Up to where it can be written without waiting.
  package var credit: UInt64 { machine.accepted - UInt64(machine.pending) + UInt64(StdinWriter.limit) }
  package var isClosed: Bool { machine.closeAsked || machine.phase == .closed }

  /// Accepts bytes as soon as there is room for them.
  ///
  /// - Parameter offset: where they belong; what was accepted before is left out. Nil is "behind what there is".
  /// - Returns: the offset up to which stdin is accepted.
  package func write(_ bytes: [UInt8], at offset: UInt64?) async throws(StdinMachine.Refusal) -> UInt64 {
    if pipe != nil { throw .handedOver }
    var known = 0
    if let offset {
      known = try machine.known(bytes.count, at: offset)
      if known == bytes.count { return machine.accepted }
    }
    while machine.pending >= StdinWriter.limit, machine.phase != .broken { try await change() }
    let rest = known == 0 ? bytes : Array(bytes.dropFirst(known))
    var next = machine
    let actions = try next.accept(rest.count)
    do throws(SystemError) {
      try rest.withUnsafeBufferPointer { bytes throws(SystemError) in
        try buffer.append(UnsafeRawBufferPointer(bytes))
      }
    } catch {
      throw .notKept("\(error)")
    }
    machine = next
    perform(actions)
    return machine.accepted
  }

  /// Waits until something is different.
  func change() async throws(StdinMachine.Refusal) {
    await waiters.wait()
    if Task.isCancelled { throw .cancelled }
  }

  package func close(at offset: UInt64?) throws(StdinMachine.Refusal) {
    if pipe != nil {
      if offset != nil { throw .handedOver }
      closesWithPipe = true
      return pump()
    }
    perform(
      try offset.map { offset throws(StdinMachine.Refusal) in try machine.close(at: offset) }
        ?? machine.close())
  }

  // MARK: - What the process does

  package func shimIsReady() {
    perform(machine.shimIsReady())
  }

  package func processStarted() {
    perform(machine.processStarted())
  }

  /// An end like that of a FIFO whose reader has gone.
  package static func brokenEnd() throws(SystemError) -> SharedDescriptor {
    try Descriptor.pipe(workerReads: true).other
  }

  /// The process is gone or never came.
  package func end() {
    let isLost = machine.pending > 0
    perform(machine.end())
    release()
    buffer.remove()
    if isLost { onBreak() }
  }

  /// The worker ends; another one goes on.
  package func letGo() {
    release()
  }

  package func ready(readable: Bool, writable: Bool, hangup: Bool) {
    // On a FIFO's writing end an error means that no reader is left.
    if hangup { return breakOff() }
    writeOut()
    pump()
  }

  func perform(_ actions: [StdinMachine.Action]) {
    if let offset = machine.closesAt { buffer.endsAt = offset }
    if machine.closeAsked { buffer.ended = 1 }
    for action in actions {
      switch action {
      case .open: open()
      case .write: writeOut()
      case .closeDescriptor: closeDescriptor()
      case .closeIO: closeIO()
      case .drop:
        buffer.position = buffer.end
        buffer.drop(before: .max)
        buffer.trim()
        waiters.resume()
      }
    }
  }

  /// The shim opens its reader a little after its reply at times; until then ENXIO says that nobody reads. What this
  /// process lacks may be there later, too.
  private func open() {
    do {
      let opened = try FIFOSet.open(path, write: true)
      registration = try Poller.shared.add(opened, readable: false, writable: false, handler: self)
      descriptor = consume opened
      perform(machine.opened())
      waiters.resume()
      pump()
    } catch {
      guard error.number == ENXIO || error.isShortage else { return breakOff() }
      retry = Poller.shared.schedule(after: delay) { [weak self] in
        self?.retry = nil
        self?.open()
      }
      delay = min(delay * 2, .milliseconds(200))
    }
  }

  private func writeOut() {
    while machine.pending > 0, descriptor != nil {
      let result: Int?
      do {
        result = try descriptor?.write(buffer.bytes(from: buffer.position, atMost: .max))
      } catch {
        return breakOff()
      }
      guard let count = result else { return watch(true) }
      buffer.position += UInt64(count)
      buffer.drop(before: buffer.position)
      let actions = machine.wrote(count)
      perform(actions)
      if machine.pending < StdinWriter.limit { waiters.resume() }
      tellCredit()
    }
    watch(false)
    if rest == nil, machine.pending == 0 {
      rest = Poller.shared.schedule(after: StdinWriter.restTime) { [weak self] in self?.trim() }
    }
  }

  private func trim() {
    rest = nil
    buffer.trim()
  }

  private func tellCredit() {
    guard credit - toldCredit >= UInt64(StdinWriter.limit / 2) else { return }
    toldCredit = credit
    onCredit(credit)
  }

  func watch(_ writable: Bool) {
    if let registration { Poller.shared.change(registration, readable: false, writable: writable) }
  }

  func breakOff() {
    let lost = machine.pending > 0 || !machine.closeAsked
    perform(machine.end())
    release()
    if lost { onBreak() }
  }

  private func closeDescriptor() {
    if let registration { Poller.shared.remove(registration) }
    registration = nil
    descriptor = nil
  }

  private func release() {
    closePipe()
    closeDescriptor()
    if let retry { Poller.shared.cancel(retry) }
    retry = nil
    waiters.resume()
  }
}
