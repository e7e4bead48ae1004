internal import ContainerdAPI
internal import FIFOIO
package import Journal
internal import Logging

/// Processes that an earlier worker on the same state directory has written down.
extension ContainerRuntime {
  /// Takes them over, with what they have said meanwhile; what became of them containerd tells later.
  package func restore(_ records: [ProcessRecord]) {
    for record in records {
      let process = ContainerProcess(record, host: self)
      let id = record.container
      let container = containers[id] ?? Container(id: id, bundle: bundles + "/" + id, metadata: nil)
      containers[id] = container
      if let exec = process.exec { container.execs[exec] = process } else { container.task = process }
      guard process.isDeleted else { continue }
      process.isUnsettled = false
      container.remember(process)
    }
  }

  /// Compares them with what containerd has now.
  ///
  /// - Returns: how many exits were missed.
  @discardableResult
  func settleRestored(_ container: Container) async throws(RuntimeError) -> Int {
    let found = try await get(container.id, exec: nil)
    let running = container.processes.filter { $0.isUnsettled && $0.isRunning }
    if let task = container.task, task.isUnsettled {
      let same = found.map { isSame($0, as: task) } ?? false
      if same, let found {
        try await settle(task, found, in: container)
      } else {
        await lose(task, in: container)
      }
    }
    for exec in container.execs.values where exec.isUnsettled {
      guard container.task != nil, let found = try await get(container.id, exec: exec.exec) else {
        await lose(exec, in: container)
        continue
      }
      try await settle(exec, found, in: container)
    }
    if container.task == nil, found != nil { try await adoptTask(of: container) }
    return running.count { !$0.isRunning }
  }

  /// The container is gone, and with it all that ran in it.
  func loseRestored(_ container: Container) async {
    let task = container.task
    for process in container.processes { await lose(process, in: container) }
    await task?.waitForDeletion()
    if containers[container.id] === container { forget(container) }
  }

  private func isSame(_ found: CDProcess, as task: ContainerProcess) -> Bool {
    found.pid == 0 || task.pid == 0 || found.pid == task.pid
  }

  private func settle(
    _ process: ContainerProcess, _ found: CDProcess, in container: Container
  ) async throws(RuntimeError) {
    if found.status == .unknown {
      throw RuntimeError(.unavailable, "the shim of container \(container.id) does not answer")
    }
    if !process.isUnsettled { return }
    process.isUnsettled = false
    if found.status == .created, process.life.phase < .started {
      // Its start was cut short: it has not run, and nobody waits for it.
      _ = await removeFailed(process)
      return withdraw(process, in: container)
    }
    process.resumed(pid: found.pid)
    if process.exec == nil { container.isPaused = found.status == .paused }
    if found.status == .stopped { stopped(process, found) }
    if found.status == .stopped { process.expectEnds() }
    if process.life.phase == .closed { processClosed(process) }
    await endOrphan(process, in: container)
  }

  /// containerd knows nothing of it.
  private func lose(_ process: ContainerProcess, in container: Container) async {
    if !process.isUnsettled { return }
    process.isUnsettled = false
    if process.life.phase < .started { return withdraw(process, in: container) }
    process.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost))
    process.expectEnds()
    if process.exec != nil {
      // Its deletion may be all that had not been written down.
      if process.life.phase == .closed { processClosed(process) }
      return
    }
    Task { @Loop in
      await process.waitForClose()
      if container.task === process, let exit = process.life.exit { removeTask(of: container, exit) }
      await endOrphan(process, in: container)
    }
  }

  /// It has not run.
  private func withdraw(_ process: ContainerProcess, in container: Container) {
    let told = process.life.phase >= .added
    process.release()
    if let exec = process.exec {
      container.execs[exec] = nil
    } else {
      container.task = nil
      if told { tell(.taskDeleted(container.id, nil)) }
    }
  }

  /// The connection that it was to end with has gone with the worker.
  private func endOrphan(_ process: ContainerProcess, in container: Container) async {
    let orphan = process.origin.orphan
    if orphan == .stays { return }
    process.discardUnread()
    Task { @Loop in
      do throws(RuntimeError) {
        if process.isRunning { try await killRPC(container.id, exec: process.exec, signal: 9, all: false) }
        if orphan == .goes, process.exec == nil { try await delete(container.id, force: true) }
      } catch {
        if error.kind == .notFound { return }
        log.warning(
          "cannot end what its connection left",
          metadata: ["container": "\(container.id)", "error": "\(error.message)"])
      }
    }
  }
}
