internal import ContainerdAPI
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging

extension ContainerRuntime {
  /// Kill: sends a signal. One that comes when the process has ended is `not_found`.
  package func kill(_ id: String, exec: String?, signal: UInt32, all: Bool) async throws(RuntimeError) {
    try await killRPC(id, exec: exec, signal: signal, all: all)
  }

  /// Delete of a task, once its output is out. Forced: kills all its processes first and waits for the end.
  package func deleteTask(_ id: String, force: Bool) async throws(RuntimeError) -> ExitStatus {
    // One that goes by itself meanwhile is as deleted as it was asked to be.
    let known = containers[id]?.task
    let container = try await load(id)
    guard let process = container.task ?? known else {
      throw RuntimeError(.notFound, "container \(id) has no task")
    }
    var hasKilled = false
    if process.isRunning {
      guard force else { throw RuntimeError(.wrongState, "the task of container \(id) is running") }
      do throws(RuntimeError) {
        try await killRPC(id, exec: nil, signal: UInt32(SIGKILL), all: true)
        hasKilled = true
      } catch {
        if error.kind != .notFound { throw error }
        await settle(process)
      }
    }
    process.discardUnread()
    await process.waitForClose()
    if Task.isCancelled { throw RuntimeError(.cancelled, "cancelled while output was still coming") }
    guard container.task === process else {
      guard let exit = process.life.exit else {
        throw RuntimeError(.notFound, "container \(id) has no task")
      }
      return exit
    }
    process.isBeingDeleted = true
    defer { process.isBeingDeleted = false }
    let answer: CDDeleteResponse
    do throws(RuntimeError) {
      answer = try await deleteTaskRPC(id, timeout: Containerd.timeout)
    } catch {
      // Gone in containerd, which is what was asked for; what we know of its exit still counts.
      guard error.kind == .notFound, let exit = process.life.exit else {
        throw hasKilled ? error.afterAnEffect : error
      }
      removeTask(process, of: container, exit)
      return exit
    }
    let exit =
      process.life.exit
      ?? ExitStatus(code: answer.exitStatus, exitedAt: Timestamp(ofExit: answer.exitedAt), source: .reconcile)
    removeTask(process, of: container, exit)
    return exit
  }

  /// The shim is gone, and with it every exec. Whoever finds that first tells it.
  func removeTask(_ task: ContainerProcess, of container: Container, _ exit: ExitStatus) {
    guard container.task === task else { return }
    for exec in container.execs.values where !exec.isDeleted {
      if withdrawUnsettled(exec, in: container) { continue }
      exec.endNow()
      exec.release()
    }
    for process in container.processes { recent.add(container.id, exec: process.exec, pid: process.pid) }
    container.forgetExecs()
    forgetCutExecs(of: container)
    task.release()
    container.task = nil
    samples[container.id] = nil
    tell(.taskDeleted(container.id, exit))
    // Known from events only, and there will be none any more.
    if container.metadata == nil, !container.isRestored, containers[container.id] === container {
      containers[container.id] = nil
    }
  }

  /// Process.Delete: forgets an exec that has ended. In containerd it is deleted as soon as its output is out.
  package func deleteExec(_ id: String, _ exec: String) async throws(RuntimeError) -> ExitStatus {
    let container = try await load(id)
    guard let process = container.execs[exec] else {
      throw RuntimeError(.notFound, "container \(id) has no process \(exec)")
    }
    guard let exit = process.life.exit else { throw RuntimeError(.wrongState, "process \(exec) is running") }
    process.discardUnread()
    if !process.isOwn {
      await process.waitForClose()
      await removeEnded(process)
    }
    await process.waitForDeletion()
    if Task.isCancelled { throw RuntimeError(.cancelled, "cancelled while output was still coming") }
    if container.execs[exec] === process {
      process.forget()
      container.execs[exec] = nil
    }
    return exit
  }

  /// Frees what containerd keeps of an exec whose output is out: the shim would keep it, and its name, as long as it lives.
  func removeEnded(_ process: ContainerProcess) async {
    guard let exec = process.exec else { return }
    await insist("delete an exec of", process.container) { () async throws(RuntimeError) in
      if process.isDeleted { return }
      if process.isRefused { return self.forgetEnded(process, exec) }
      do throws(RuntimeError) {
        try await self.deleteProcessRPC(process.container, exec, timeout: Containerd.timeout)
      } catch {
        // The next worker does it, or whoever asks again.
        if error.isPassing || error.kind == .cancelled { throw error }
        if error.kind != .notFound {
          self.log.error("DeleteProcess failed", metadata: ["exec": "\(exec)", "error": "\(error.message)"])
        }
      }
      self.forgetEnded(process, exec)
    }
  }

  private func forgetEnded(_ process: ContainerProcess, _ exec: String) {
    // It may have gone with its task meanwhile.
    if process.isDeleted { return }
    recent.add(process.container, exec: exec, pid: process.pid)
    process.release(keepsOutput: true)
    containers[process.container]?.remember(process)
    dropOutputLater(of: process)
  }

  /// How long output that was on its way to a client is kept after the end: the client, or this worker, may die before it
  /// gets there.
  private static let outputStays = Duration.seconds(60)

  func dropOutputLater(of process: ContainerProcess) {
    _ = Poller.shared.schedule(after: ContainerRuntime.outputStays) { [weak self, weak process] in
      guard let self, let process, let exec = process.exec else { return }
      // There may be another one of its name.
      guard containers[process.container]?.execs[exec] === process else { return }
      for (_, reader) in process.readers { reader.dropTaken() }
      if !process.hasOutput { process.forget() }
    }
  }

  /// What containerd says of a process.
  package func status(_ id: String, exec: String?) async throws(RuntimeError) -> ProcessStatusReport {
    let container = try await load(id)
    if let ended = container.process(exec), ended.isDeleted {
      return ProcessStatusReport(status: "stopped", pid: ended.pid, exit: ended.life.exit)
    }
    // What a start that was cut short has left is none of anybody's.
    let isLeftover =
      container.process(exec) == nil
      && (exec.map { container.cutExecs.contains($0) } ?? container.hadCutStart)
    guard !isLeftover, let process = try await get(id, exec: exec) else {
      throw RuntimeError(.notFound, "container \(id) has no \(exec.map { "process \($0)" } ?? "task")")
    }
    let exit =
      process.status == .stopped
      ? ExitStatus(
        code: process.exitStatus, exitedAt: Timestamp(ofExit: process.exitedAt), source: .reconcile) : nil
    return ProcessStatusReport(
      status: "\(process.status)", pid: process.pid, exit: container.process(exec)?.life.exit ?? exit)
  }

  // MARK: - RPCs that several operations use

  func killRPC(_ id: String, exec: String?, signal: UInt32, all: Bool) async throws(RuntimeError) {
    var request = CDKillRequest()
    request.containerID = id
    request.execID = exec ?? ""
    request.signal = signal
    request.all = all
    // Before its exit can come.
    if signal == UInt32(SIGKILL), let container = containers[id] {
      for process in container.processes where all || process.exec == exec || exec == nil {
        process.isKilledByUs = true
      }
    }
    _ = try await containerd.call(ContainerdService.Tasks.kill, request)
  }

  /// One at a time of a container, which who comes meanwhile shares: in containerd the second removes, when it comes to its
  /// end, the directory and the entry of the task that has the place by then (shim.go of 1.6). What has been told of its end
  /// is written first, here and below: nobody could ask for the exit code afterwards.
  func deleteTaskRPC(_ id: String, timeout: Duration) async throws(RuntimeError) -> CDDeleteResponse {
    let deletion =
      taskDeletions[id]
      ?? Task { @Loop () -> Result<CDDeleteResponse, RuntimeError> in
        defer { taskDeletions[id] = nil }
        await journal?.untilWritten()
        var request = CDDeleteTaskRequest()
        request.containerID = id
        do throws(RuntimeError) {
          return .success(
            try await containerd.call(ContainerdService.Tasks.delete, request, timeout: timeout))
        } catch {
          return .failure(error)
        }
      }
    // Cut short, containerd forgets the task and leaves its shim (seen with 1.6), which no call reaches any more: a task of
    // its own does not inherit its callers' cancellation.
    taskDeletions[id] = deletion
    return try await deletion.value.get()
  }

  func deleteProcessRPC(_ id: String, _ exec: String, timeout: Duration) async throws(RuntimeError) {
    await journal?.untilWritten()
    var request = CDDeleteProcessRequest()
    request.containerID = id
    request.execID = exec
    _ = try await containerd.call(ContainerdService.Tasks.deleteProcess, request, timeout: timeout)
  }

  func waitRPC(_ id: String, exec: String?, timeout: Duration) async throws(RuntimeError) {
    var request = CDWaitRequest()
    request.containerID = id
    request.execID = exec ?? ""
    _ = try await containerd.call(ContainerdService.Tasks.wait, request, timeout: timeout)
  }
}
