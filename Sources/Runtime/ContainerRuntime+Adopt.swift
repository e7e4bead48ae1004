internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

/// Tasks and execs that run already, an earlier worker's or another client's.
extension ContainerRuntime {
  /// Takes over the task of a container, if it has one, and the execs that run in it.
  func adoptTask(of container: Container) async throws(RuntimeError) {
    guard let found = try await get(container.id, exec: nil), container.task == nil else { return }
    try checkIsKnown(found)
    if container.hadCutStart, isOurs(found.stdout, container) {
      return try await removeCutStart(of: container)
    }
    forgetCutStart(of: container)
    let process = try adopt(found, exec: nil, in: container)
    container.began(process)
    container.isPaused = found.status == .paused
    settleAdopted(process, found)
    if found.status == .stopped { return }
    try await adoptExecs(of: container)
  }

  /// Takes over what runs in a container's task beside what is known. There is no list of execs; those that run are found
  /// by their pids, ended ones are not.
  func adoptExecs(of container: Container) async throws(RuntimeError) {
    let task = container.task
    for listed in try await processes(of: container.id) {
      guard let exec = listed.exec, isFree(exec, for: listed.pid, in: container),
        let found = try await get(container.id, exec: exec), container.task === task,
        isFree(exec, for: listed.pid, in: container)
      else { continue }
      let process = try adopt(found, exec: exec, in: container)
      container.execs[exec] = process
      settleAdopted(process, found)
    }
  }

  /// Whether an exec's name is to be had; one that has ended makes room for it.
  private func isFree(_ exec: String, for pid: UInt32, in container: Container) -> Bool {
    if container.cutExecs.contains(exec) { return false }
    guard let known = container.execs[exec] else { return true }
    return makesRoom(known, for: pid)
  }

  /// UNKNOWN is a shim that does not answer; containerd says nothing of the process then, not even its FIFOs.
  func checkIsKnown(_ found: CDProcess) throws(RuntimeError) {
    if found.status == .unknown {
      throw RuntimeError(.unavailable, "the shim of container \(found.containerID) does not answer")
    }
  }

  private func adopt(_ found: CDProcess, exec: String?, in container: Container) throws(RuntimeError)
    -> ContainerProcess
  {
    let fifos = FIFOSet(found)
    guard !fifos.paths.isEmpty, fifos.paths.allSatisfy({ $0.hasPrefix(bundles + "/") }) else {
      return ContainerProcess(container: container.id, exec: exec, foreign: fifos, host: self)
    }
    do throws(SystemError) {
      return try ContainerProcess(container: container.id, exec: exec, adopting: fifos, host: self)
    } catch {
      throw RuntimeError(.io, error.description)
    }
  }

  private func settleAdopted(_ process: ContainerProcess, _ found: CDProcess) {
    process.adopted(pid: found.pid, running: found.status != .created)
    if found.status == .stopped { stopped(process, found) }
  }

  // MARK: - Another client's stdio, once somebody asks for it

  /// Opens the outputs of a process that this worker did not start.
  package func openOutputs(of process: ContainerProcess) async throws(RuntimeError) {
    if process.isOwn || !process.isRunning { return }
    try await learnFIFOs(of: process)
    do throws(SystemError) {
      try process.openOutputs()
    } catch {
      throw RuntimeError(.io, error.description)
    }
  }

  package func openStdin(of process: ContainerProcess) async throws(RuntimeError) {
    if process.isOwn || !process.isRunning { return }
    try await learnFIFOs(of: process)
    do throws(SystemError) {
      try process.openStdin()
    } catch {
      throw RuntimeError(.io, error.description)
    }
  }

  func learnFIFOs(of process: ContainerProcess) async throws(RuntimeError) {
    if process.fifosAreKnown { return }
    guard let found = try await get(process.container, exec: process.exec) else { return }
    try checkIsKnown(found)
    process.learn(FIFOSet(found))
  }
}

extension FIFOSet {
  static let none = FIFOSet(stdin: "", stdout: "", stderr: "", terminal: false)

  /// What containerd says of a process's stdio. Where it is no FIFO but a `file://` or a `binary://`, there is nothing
  /// to read.
  init(_ process: CDProcess) {
    self.init(
      stdin: FIFOSet.path(process.stdin), stdout: FIFOSet.path(process.stdout),
      stderr: FIFOSet.path(process.stderr),
      terminal: process.terminal)
  }

  init(_ io: CDTaskIO) {
    self.init(
      stdin: FIFOSet.path(io.stdin), stdout: FIFOSet.path(io.stdout), stderr: FIFOSet.path(io.stderr),
      terminal: io.terminal)
  }

  private static func path(_ name: String) -> String { name.hasPrefix("/") ? name : "" }
}
