package import FIFOIO
internal import Journal

/// A process of a container: the init process of its task, or an exec. It owns the process's FIFOs, its stdio and its
/// state, from before it is created until it is deleted.
@Loop
package final class ContainerProcess {
  package let container: String
  /// Nil for the init process.
  package let exec: String?
  package private(set) var pid: UInt32 = 0
  package private(set) var life = ProcessLife()
  package internal(set) var stdin: StdinWriter?
  package internal(set) var stdout: OutputReader?
  package internal(set) var stderr: OutputReader?
  /// Where its stdio goes through.
  package internal(set) var fifos: FIFOSet
  /// True when a worker with this one's state directory made it; else it is another client's, whose stdio is left
  /// alone until it is asked for.
  package let isOwn: Bool
  /// An earlier worker started it, of whose calls containerd's shim may still be carrying one out.
  let isInherited: Bool
  /// Whether `fifos` are known: events of another client's exec do not tell them.
  var fifosAreKnown: Bool
  /// A size that was asked for before it ran.
  var pendingSize: WindowSize?
  /// A signal that ends it is ours: what it dies of is no lack of memory.
  var isKilledByUs = false
  /// Its delete call is under way.
  var isBeingDeleted = false
  /// What is there of its name is not it: containerd was not reached, or has not taken the call to create it, or has another.
  var isRefused = false
  /// It has ended, and what of is being found out.
  private var ending: ExitStatus?
  /// An earlier worker has written it down, and what became of it is not known yet.
  var isUnsettled = false
  /// The command that started it.
  package let origin: Origin
  let output: OutputOptions
  let host: any ProcessHost
  private var drainTimer: Poller.TimerID?
  private let exitWaiters = Waiters()
  private let closeWaiters = Waiters()
  private let deletionWaiters = Waiters()

  /// How long output may still come, or wait for its reader, after the process has exited: a child that it left
  /// behind may hold its stdout for ever.
  package static let drainDeadline = Duration.seconds(10)

  /// One of ours: opens the outputs of FIFOs that exist.
  init(
    container: String, exec: String?, own fifos: FIFOSet, output: OutputOptions, origin: Origin = Origin(),
    host: any ProcessHost
  ) throws(SystemError) {
    self.container = container
    self.exec = exec
    self.fifos = fifos
    self.output = output
    self.origin = origin
    self.host = host
    isOwn = true
    isInherited = false
    fifosAreKnown = true
    // The shim of a start that was cut short may have the same paths, and go again.
    try openOutputs(outlastingWriters: true)
    if !fifos.stdin.isEmpty { stdin = try makeWriter(fifos.stdin) }
  }

  /// One that an earlier worker has written down.
  ///
  /// Its exit, where that was told, may still have output behind it.
  init(_ record: ProcessRecord, host: any ProcessHost) throws(SystemError) {
    container = record.container
    exec = record.exec.isEmpty ? nil : record.exec
    fifos = FIFOSet(
      stdin: record.stdin, stdout: record.stdout, stderr: record.stderr, terminal: record.terminal)
    output = OutputOptions(record)
    origin = Origin(key: record.key, orphan: record.orphan)
    self.host = host
    isOwn = record.isOwn
    isInherited = record.isOwn
    fifosAreKnown = record.isOwn || !fifos.paths.isEmpty
    isUnsettled = true
    pid = record.pid
    let phase = ProcessLife.Phase(rawValue: record.phase) ?? .new
    life.restore(phase, record.exit.map(ExitStatus.init), waitsForReply: isOwn && phase < .started)
    if isOwn { try resumeStreams() }
    // Not only once containerd tells of it, which may be long.
    if life.phase >= .started, life.exit == nil { stdinIsWanted() }
    if life.phase == .exited { startDraining() }
  }

  /// An earlier worker's, of which nothing is written down: what its streams kept is there all the same.
  init(container: String, exec: String?, adopting fifos: FIFOSet, host: any ProcessHost) throws(SystemError) {
    self.container = container
    self.exec = exec
    self.fifos = fifos
    output = OutputOptions()
    origin = Origin()
    self.host = host
    isOwn = true
    isInherited = true
    fifosAreKnown = true
    try resumeStreams()
  }

  /// Another client's.
  init(container: String, exec: String?, foreign fifos: FIFOSet?, host: any ProcessHost) {
    self.container = container
    self.exec = exec
    self.fifos = fifos ?? FIFOSet.none
    output = OutputOptions()
    origin = Origin()
    self.host = host
    isOwn = false
    isInherited = false
    fifosAreKnown = fifos != nil
  }

  /// True when containerd knows it no more.
  package var isDeleted: Bool { life.phase == .deleted }

  package var isRunning: Bool { life.phase < .exited && life.exit == nil && ending == nil }

  // MARK: - What becomes known

  func added() {
    tell(life.added())
  }

  func shimIsReady() {
    stdin?.shimIsReady()
  }

  func started(pid: UInt32) {
    self.pid = pid
    tell(life.started())
    for (_, reader) in readers { reader.writerIsThere() }
    stdinIsWanted()
  }

  /// Lets an exit be told: to be called when whoever started the process has its reply.
  package func announce() {
    tell(life.announce())
  }

  /// Goes on: an earlier worker may not have come to tell of its start.
  func resumed(pid: UInt32) {
    if pid != 0 { self.pid = pid }
    if life.phase < .started {
      tell(life.started())
      announce()
    }
    if life.exit == nil { stdinIsWanted() }
  }

  private func stdinIsWanted() {
    stdin?.processStarted()
    stdin?.shimIsReady()
  }

  /// Found in containerd: an earlier worker told of its start, or another client began it while nobody listened.
  func adopted(pid: UInt32, running: Bool) {
    self.pid = pid
    life.adopt(running: running)
    if running { stdin?.processStarted() }
    stdin?.shimIsReady()
    host.save(self)
  }

  /// It has ended; before that is told, `check` finds out whether the kernel killed it for lack of memory.
  func exited(_ status: ExitStatus, unlessKnown check: @escaping @Loop () async -> Bool) {
    guard life.exit == nil, ending == nil, !isDeleted else { return }
    ending = status
    Task { @Loop in
      var status = status
      status.outOfMemory = await check()
      // Unless that was told without waiting any longer.
      guard ending != nil else { return }
      ending = nil
      exited(status)
    }
  }

  /// Tells the end of a process that nothing will be heard of any more: its exit as far as it is known, and what became of
  /// its output.
  func endNow() {
    let known = ending
    ending = nil
    exited(known ?? ExitStatus(code: nil, exitedAt: nil, source: .lost))
    if life.phase == .exited { giveUpDraining() }
  }

  func exited(_ status: ExitStatus) {
    guard life.exit == nil, ending == nil, !isDeleted else { return }
    if status.source == .lost { host.endUnseen(self) }
    stdin?.end()
    startDraining()
    tell(life.exited(status))
    outputMayHaveEnded()
  }

  private func startDraining() {
    drainTimer = Poller.shared.schedule(after: ContainerProcess.drainDeadline) { [weak self] in
      self?.giveUpDraining()
    }
  }

  /// Looks for ends that nothing tells of.
  func expectEnds() {
    for (_, reader) in readers { reader.expectEnd() }
    outputMayHaveEnded()
  }

  func outputMayHaveEnded() {
    guard life.exit != nil else { return }
    guard readers.allSatisfy({ _, reader in reader.isOver }) else { return }
    cancelDrainTimer()
    tell(life.outputEnded())
  }

  /// Nobody will ask for what has no reader now: it is read and dropped, so that the end need not wait for one.
  package func discardUnread() {
    for (_, reader) in readers where reader.controller == nil && !reader.isGivenAway {
      reader.discard()
    }
    outputMayHaveEnded()
  }

  /// The start failed, or the process is deleted: releases everything.
  ///
  /// - Parameter keepsOutput: what nobody has taken is still to be had.
  func release(_ end: OutputReader.End = .lost, keepsOutput: Bool = false) {
    if !isDeleted { letGoForGood(end) }
    if keepsOutput, hasOutput { host.save(self) } else { forget() }
    exitWaiters.resume()
    closeWaiters.resume()
    deletionWaiters.resume()
  }

  /// Once: later the names of its FIFOs may be another process's.
  private func letGoForGood(_ end: OutputReader.End) {
    cancelDrainTimer()
    stdin?.end()
    for (_, reader) in readers where reader.end == nil { reader.abandon(end) }
    if isOwn, !host.keepsBundles { fifos.remove() }
    life.deleted()
  }

  /// There is output that can be had.
  var hasOutput: Bool { readers.contains { $1.bytesRead > $1.oldest } }

  /// Another process takes its name.
  func giveUpPlace() {
    for (_, reader) in readers { reader.giveUpPlace() }
  }

  /// Nobody can ask for anything of it any more.
  func forget() {
    for (_, reader) in readers where isOwn { reader.removeStore() }
    host.forget(self)
  }

  /// The worker stops: lets go of the FIFOs and leaves them for the next one.
  func letGo() {
    cancelDrainTimer()
    stdin?.letGo()
    for (_, reader) in readers { reader.letGo() }
  }

  // MARK: - Waiting

  /// Returns when the exit has been told, or the process is gone; at once when the task is cancelled.
  package func waitForExit() async {
    if life.phase < .exited { await exitWaiters.wait() }
  }

  /// Returns when `process.closed` has been told, or the process is gone; at once when the task is cancelled.
  package func waitForClose() async {
    if life.phase < .closed { await closeWaiters.wait() }
  }

  /// Returns when containerd knows the process no more; at once when the task is cancelled.
  func waitForDeletion() async {
    if !isDeleted { await deletionWaiters.wait() }
  }

  // MARK: -

  private func tell(_ news: [ProcessLife.News]) {
    // Written together with the events, or not at all.
    defer { if !news.isEmpty, !isDeleted { host.save(self) } }
    for item in news {
      switch item {
      case .added:
        host.tell(exec.map { .processAdded(container, exec: $0) } ?? .taskCreated(container, pid: pid))
      case .started:
        host.tell(
          exec.map { .processStarted(container, exec: $0, pid: pid) } ?? .taskStarted(container, pid: pid))
      case .exited(let status):
        host.tell(.processExited(container, exec: exec, pid: pid, status))
        exitWaiters.resume()
      case .closed(let status):
        for (_, reader) in readers { reader.finishObservers() }
        host.tell(.processClosed(container, exec: exec, pid: pid, status, streams: outputs))
        closeWaiters.resume()
        host.processClosed(self)
      }
    }
  }

  func setPID(_ pid: UInt32) {
    self.pid = pid
  }

  private func giveUpDraining() {
    cancelDrainTimer()
    for (_, reader) in readers { reader.giveUp() }
    tell(life.outputEnded())
  }

  private func cancelDrainTimer() {
    if let drainTimer { Poller.shared.cancel(drainTimer) }
    drainTimer = nil
  }
}
