internal import FIFOIO
internal import Journal
internal import Logging

/// Processes as the journal has them.
extension ContainerProcess {
  var record: ProcessRecord {
    var record = ProcessRecord(container: container, exec: exec ?? "")
    (record.isOwn, record.pid, record.phase) = (isOwn, pid, life.phase.rawValue)
    (record.stdin, record.stdout, record.stderr) = (fifos.stdin, fifos.stdout, fifos.stderr)
    record.terminal = fifos.terminal
    (record.backlog, record.overflow) = (output.backlog, output.overflow.rawValue)
    (record.key, record.orphan) = (origin.key, origin.orphan)
    // Not before it is told: who restores it tells it then.
    if life.phase >= .exited { record.exit = life.exit.map(ProcessRecord.Exit.init) }
    return record
  }

  /// Of a start that failed, what the next worker must know to clear away what may be left of it.
  var undone: ProcessRecord {
    var record = record
    record.phase = ProcessRecord.undone
    return record
  }
}

extension ProcessRecord {
  /// In the place of a phase.
  static let undone = -1
}

extension ContainerRuntime {
  func save(_ process: ContainerProcess) {
    if !process.isOwn, process.exec != nil {
      // Nobody tells of one that fails to start.
      if process.life.phase < .started { return }
      // Nothing is left to tell; of a task containerd still tells.
      if process.life.phase >= .closed { return forget(process) }
    }
    if isAnothers(process) { return }
    journal?.append(.process(process.record))
  }

  func forget(_ process: ContainerProcess) {
    if isAnothers(process) { return }
    journal?.append(.forgetProcess(container: process.container, exec: process.exec ?? ""))
  }

  /// Whether there is another one of its name by now, whose the record is.
  private func isAnothers(_ process: ContainerProcess) -> Bool {
    guard let known = containers[process.container]?.process(process.exec) else { return false }
    return known !== process
  }

  func streamIsLost(_ process: ContainerProcess, _ path: String, _ error: SystemError) {
    log.error(
      "cannot go on with a stream",
      metadata: ["container": "\(process.container)", "path": "\(path)", "error": "\(error)"])
  }

  /// Tells a new journal of everything.
  package func saveAll() {
    for container in containers.values {
      for process in container.processes where !process.isDeleted { save(process) }
      if container.hadCutStart, container.task == nil { saveUndone(container, exec: "") }
      for exec in container.cutExecs { saveUndone(container, exec: exec) }
    }
  }

  private func saveUndone(_ container: Container, exec: String) {
    var record = ProcessRecord(container: container.id, exec: exec)
    record.phase = ProcessRecord.undone
    journal?.append(.process(record))
  }
}

extension OutputOptions {
  init(_ record: ProcessRecord) {
    self.init()
    backlog = record.backlog
    overflow = Overflow(rawValue: record.overflow) ?? .block
  }
}

extension ExitStatus {
  init(_ exit: ProcessRecord.Exit) {
    self.init(
      code: exit.code < 0 ? nil : UInt32(truncatingIfNeeded: exit.code),
      exitedAt: exit.seconds == 0 ? nil : Timestamp(seconds: exit.seconds, nanoseconds: exit.nanoseconds),
      source: Source(rawValue: exit.source) ?? .lost)
    outOfMemory = exit.outOfMemory
  }
}

extension ProcessRecord.Exit {
  init(_ exit: ExitStatus) {
    self.init(
      code: exit.code.map { Int64($0) } ?? -1, seconds: exit.exitedAt?.seconds ?? 0,
      nanoseconds: exit.exitedAt?.nanoseconds ?? 0, outOfMemory: exit.outOfMemory,
      source: exit.source.rawValue)
  }
}
