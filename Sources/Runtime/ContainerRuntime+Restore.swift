internal import ContainerdAPI
package import FIFOIO
package import Journal
internal import Logging

/// What became of a start.
package enum Fate: Sendable, Equatable {
  case started
  /// It has not run.
  case withdrawn
  /// containerd may have started it, and knows it no more.
  case unknown
}

/// Processes that an earlier worker on the same state directory has written down.
extension ContainerRuntime {
  /// Takes them over, with what they have said meanwhile; what became of them containerd tells later. Throws where there
  /// are no descriptors or no memory for their streams.
  package func restore(_ records: [ProcessRecord]) throws(SystemError) {
    for record in records {
      let id = record.container
      let container = containers[id] ?? Container(id: id, bundle: bundles + "/" + id, metadata: nil)
      if record.isOwn { container.isRestored = true }
      containers[id] = container
      if record.phase == ProcessRecord.undone {
        if record.exec.isEmpty {
          container.hadCutStart = true
        } else {
          container.cutExecs.insert(record.exec)
        }
        continue
      }
      let process = try ContainerProcess(record, host: self)
      if let exec = process.exec { container.execs[exec] = process } else { container.task = process }
      guard process.isDeleted else { continue }
      process.isUnsettled = false
      container.remember(process)
      dropOutputLater(of: process)
    }
  }

  /// Whether the list says all that is to be known of its task: it ran, and still does. That saves asking for each of
  /// thousands.
  func stillRuns(_ container: Container, _ found: CDProcess) -> Bool {
    guard let task = container.task, task.isUnsettled, task.life.phase == .started else { return false }
    return (found.status == .running || found.status == .paused) && found.pid == task.pid
  }

  /// Compares them with what containerd has now.
  ///
  /// - Parameter listed: what it has said of the task; nil asks.
  func settleRestored(_ container: Container, listed: CDProcess? = nil) async throws(RuntimeError) {
    let found = if let listed { listed } else { try await get(container.id, exec: nil) }
    if let task = container.task, task.isUnsettled {
      let same = found.map { isSame($0, as: task) } ?? false
      if same, let found {
        try await settle(task, found, in: container)
      } else {
        // Where containerd has another one that is none of ours to touch.
        if found == nil, task.isOwn { await endForgottenShim(of: container.id) }
        await lose(task, in: container)
      }
    }
    if container.task == nil, found != nil { try await adoptTask(of: container) }
    for exec in container.execs.values where exec.isUnsettled {
      guard container.task != nil, let found = try await get(container.id, exec: exec.exec) else {
        await lose(exec, in: container)
        continue
      }
      if !isSame(found, as: exec) {
        exec.isRefused = true
        await lose(exec, in: container)
        continue
      }
      try await settle(exec, found, in: container)
    }
    // Of our own task's others are not asked for: it would be one call more for each.
    if let task = container.task, !task.isOwn, task.isRunning { try await adoptExecs(of: container) }
  }

  /// The container is gone, and with it all that ran in it.
  func loseAll(of container: Container) async {
    let task = container.task
    for process in container.processes {
      if process.isUnsettled {
        await lose(process, in: container)
      } else if process.life.phase >= .started || !process.isOwn, !process.isDeleted {
        // One of the others could not be asked for when this one was.
        endLost(process, in: container)
      }
    }
    await task?.waitForDeletion()
    guard containers[container.id] === container else { return }
    if container.isRestored { return forget(container) }
    // Of another client's nobody was told that it was there.
    for process in container.processes { process.release() }
    containers[container.id] = nil
  }

  /// Whether it may be; UNKNOWN tells neither. An exec keeps its pid when it has ended (exec.go).
  private func isSame(_ found: CDProcess, as process: ContainerProcess) -> Bool {
    let mayHaveNoPID = process.exec == nil || found.status == .unknown
    return (process.pid == 0 || found.pid == process.pid || found.pid == 0 && mayHaveNoPID)
      && (found.status == .unknown || !process.isOwn || found.stdout == process.fifos.stdout)
  }

  private func settle(
    _ process: ContainerProcess, _ found: CDProcess, in container: Container
  ) async throws(RuntimeError) {
    if found.status == .unknown {
      throw RuntimeError(.unavailable, "the shim of container \(container.id) does not answer")
    }
    if !process.isUnsettled { return }
    if !process.isOwn {
      if found.status == .created { return process.isUnsettled = false }
    } else if process.life.phase < .started, !hasRun(process, found) {
      // Its start was cut short, and nobody waits for it.
      let mayHaveRun = process.life.phase == .added && !isBeforeItsStart(process, found)
      _ = await removeFailed(container.id, exec: process.exec)
      // Not before: who asks for it meanwhile waits for that.
      if !process.isUnsettled { return }
      process.isUnsettled = false
      return withdraw(process, in: container, leaving: mayHaveRun ? .unknown : .withdrawn)
    }
    process.isUnsettled = false
    process.resumed(pid: found.pid)
    observer?.startIsSettled(process, .started)
    if process.exec == nil { container.isPaused = found.status == .paused }
    if found.status == .stopped {
      stopped(process, found)
      process.expectEnds()
    }
    if process.life.phase == .closed { processClosed(process) }
    endOrphan(process)
  }

  /// containerd knows nothing of it.
  private func lose(_ process: ContainerProcess, in container: Container) async {
    if !process.isUnsettled || withdrawUnsettled(process, in: container) { return }
    process.isUnsettled = false
    observer?.startIsSettled(process, .started)
    endLost(process, in: container)
  }

  private func endLost(_ process: ContainerProcess, in container: Container) {
    process.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost))
    process.expectEnds()
    if process.exec != nil {
      // Its deletion may be all that had not been written down.
      if process.life.phase == .closed { processClosed(process) }
      return
    }
    Task { @Loop in
      await process.waitForClose()
      if let exit = process.life.exit { removeTask(process, of: container, exit) }
    }
  }

  /// A Delete that its client's death cut short leaves a shim that knows no task any more, or soon will not: no list shows
  /// it, and it holds the id. The next Delete does not find the task either, and ends the shim (shim.go, containerd 1.6). One that runs,
  /// as somebody has started it meanwhile, is refused.
  func endForgottenShim(of id: String) async {
    do throws(RuntimeError) {
      _ = try await deleteTaskRPC(id, timeout: .seconds(30))
    } catch {
      log.debug("no forgotten shim", metadata: ["container": "\(id)", "error": "\(error.message)"])
    }
  }

  /// One whose start was cut short, and that containerd does not have, or not any more with its task.
  func withdrawUnsettled(_ process: ContainerProcess, in container: Container) -> Bool {
    guard process.isUnsettled, process.isOwn, process.life.phase < .started else { return false }
    process.isUnsettled = false
    // containerd was asked to start it once it was added.
    withdraw(process, in: container, leaving: process.life.phase == .added ? .unknown : .withdrawn)
    return true
  }

  /// Of one that is stopped the exit may be that of runc's own process, which a start that was cut short takes with it.
  private func hasRun(_ process: ContainerProcess, _ found: CDProcess) -> Bool {
    switch found.status {
    case .created: false
    case .stopped: process.life.phase == .added && process.readers.contains { $1.bytesRead > 0 }
    default: true
    }
  }

  /// runc's own process still waits in the container's place for the word to become it. Of an exec, which has no such
  /// place, nobody can tell: a call to start it that is cut short may leave it running unseen.
  private func isBeforeItsStart(_ process: ContainerProcess, _ found: CDProcess) -> Bool {
    guard process.exec == nil, found.status == .created else { return false }
    let line = ProcessFile.read("cmdline", of: found.pid).split(separator: 0)
    return line.count == 2 && line[1].elementsEqual("init".utf8)
  }

  /// The connection that it was to end with has gone with the worker; its container is the sweep's.
  private func endOrphan(_ process: ContainerProcess) {
    if process.origin.orphan == .stays { return }
    process.discardUnread()
    Task { @Loop in await kill(process) }
  }
}
