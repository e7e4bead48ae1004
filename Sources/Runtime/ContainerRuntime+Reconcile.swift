internal import ContainerdAPI
internal import FIFOIO
internal import Logging

extension ContainerRuntime {
  /// Compares what we hold with what containerd lists, tells what was missed, and then that it is connected.
  func reconcileAndTell() async {
    do throws(RuntimeError) {
      let counts = try await reconcile()
      connected = true
      lastFailure = ""
      firstAttempt.resume()
      tell(.containerdConnected(tasks: counts.tasks, exits: counts.exits))
    } catch {
      log.warning("cannot list tasks", metadata: ["error": "\(error.message)"])
    }
  }

  private func reconcile() async throws(RuntimeError) -> (tasks: Int, exits: Int) {
    let listed = try await containerd.call(
      ContainerdService.Tasks.list, CDListTasksRequest(), timeout: .seconds(30)
    ).tasks
    let found = Dictionary(listed.map { ($0.container, $0) }) { first, _ in first }
    // All at once: a shim that does not answer holds up nobody else's.
    let exits = await concurrently(Set(containers.keys).union(found.keys)) { id in
      await self.reconcile(id, found[id])
    }
    return (listed.count, exits.reduce(0, +))
  }

  /// - Returns: how many exits were missed.
  private func reconcile(_ id: String, _ found: CDProcess?) async -> Int {
    guard let container = containers[id], let task = container.task else {
      if found != nil { await loadQuietly(id) }
      return 0
    }
    // A start of our own is under way: its reply tells.
    if task.isOwn, task.life.phase < .started { return 0 }
    let running = container.processes.filter { $0.isRunning }
    if let found, isAnother(found, than: task) {
      for process in running { process.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost)) }
      await task.waitForClose()
      if container.task === task, let exit = task.life.exit { removeTask(of: container, exit) }
      await loadQuietly(id)
    } else {
      if let found, found.status == .paused || found.status == .running {
        _ = paused(id, found.status == .paused)
      }
      if found?.status == .running, !task.isOwn, task.life.phase < .started { task.started(pid: task.pid) }
      _ = await concurrently(running) { process in await self.settle(process, process === task ? found : nil)
      }
    }
    return running.count { !$0.isRunning }
  }

  /// UNKNOWN has no pid, and neither has a task that is still to be restored.
  private func isAnother(_ found: CDProcess, than task: ContainerProcess) -> Bool {
    found.status != .unknown && found.pid != 0 && task.pid != 0 && found.pid != task.pid
  }

  private func settle(_ process: ContainerProcess, _ found: CDProcess?) async {
    guard let found else { return await settle(process) }
    if found.status == .stopped { stopped(process, found) }
  }

  private func loadQuietly(_ id: String) async {
    do throws(RuntimeError) {
      if let container = containers[id] { try await adoptTask(of: container) } else { _ = try await load(id) }
    } catch {
      log.warning("cannot load", metadata: ["container": "\(id)", "error": "\(error.message)"])
    }
  }
}

extension CDProcess {
  /// Lists name a task's container here or there.
  fileprivate var container: String { containerID.isEmpty ? id : containerID }
}
