internal import ContainerdAPI
internal import FIFOIO
internal import Logging

extension ContainerRuntime {
  /// Compares what we hold with what containerd lists, tells what was missed, and then that it is connected. Again and
  /// again where it fails, as long as the subscription lives.
  func reconcileAndTell(_ subscription: Int) async {
    var pause = Duration.milliseconds(200)
    while subscription == subscriptions, !Task.isCancelled {
      do throws(RuntimeError) {
        let counts = try await reconcile()
        guard subscription == subscriptions else { return }
        await sweep()
        guard subscription == subscriptions else { return }
        connected = true
        lastFailure = ""
        firstAttempt.resume()
        return tell(.containerdConnected(tasks: counts.tasks, exits: counts.exits))
      } catch {
        log.warning("cannot list tasks", metadata: ["error": "\(error.message)"])
      }
      await Loop.sleep(pause)
      pause = min(pause * 2, .seconds(5))
    }
  }

  private func reconcile() async throws(RuntimeError) -> (tasks: Int, exits: Int) {
    let known = containers.mapValues(Known.init)
    let listed = try await listTasks()
    let found = Dictionary(listed.map { ($0.container, $0) }) { first, _ in first }
    // All at once: a shim that does not answer holds up nobody else's.
    let exits = await concurrently(Set(containers.keys).union(found.keys)) { id in
      await self.reconcile(id, found[id], known: known[id])
    }
    return (listed.count, exits.reduce(0, +))
  }

  /// What there was of a container when the list was asked for, which says nothing of what came later.
  struct Known {
    let pauses: Int
    fileprivate let running: [ContainerProcess]

    @Loop
    init(_ container: Container) {
      pauses = container.pauses
      // What is being started is told by its own call.
      running = container.processes.filter { $0.isRunning && (!$0.isOwn || $0.life.phase >= .started) }
    }
  }

  /// - Returns: how many exits were missed.
  func reconcile(_ id: String, _ found: CDProcess?, known: Known?) async -> Int {
    let exits = await compare(id, found, known)
    if let container = containers[id], container.task?.isRunning == true {
      await removeCutExecs(of: container)
    }
    return exits
  }

  private func compare(_ id: String, _ found: CDProcess?, _ known: Known?) async -> Int {
    if let container = containers[id], container.isUnsettled {
      let running = container.processes.filter(\.isRunning)
      await loadQuietly(id, found)
      return running.count { !$0.isRunning }
    }
    guard let container = containers[id], let task = container.task else {
      if let found { await loadQuietly(id, found) }
      return 0
    }
    // A start of our own is under way: its reply tells.
    if task.isOwn, task.life.phase < .started { return 0 }
    let running = known?.running.filter(\.isRunning) ?? []
    if let found, isAnother(found, than: task) {
      guard await isStillAnother(than: task) else { return 0 }
      for process in running { process.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost)) }
      await task.waitForClose()
      if let exit = task.life.exit { removeTask(task, of: container, exit) }
      await loadQuietly(id)
    } else {
      // Not where an event is newer than the list.
      if let found, found.status == .paused || found.status == .running, known?.pauses == container.pauses {
        _ = paused(id, found.status == .paused)
      }
      if found?.status == .running, !task.isOwn, task.life.phase < .started { task.started(pid: task.pid) }
      _ = await concurrently(running) { process in await self.settle(process, process === task ? found : nil)
      }
      // Of its deletion nothing will come any more.
      if found == nil, task.life.phase == .closed { await removeIfGone(task) }
    }
    return running.count { !$0.isRunning }
  }

  /// UNKNOWN has no pid, and neither has a task that is still to be restored.
  private func isAnother(_ found: CDProcess, than task: ContainerProcess) -> Bool {
    found.status != .unknown && found.pid != 0 && task.pid != 0 && found.pid != task.pid
  }

  /// The list may be older than a task that was started since, which its own call and events tell of.
  private func isStillAnother(than task: ContainerProcess) async -> Bool {
    do throws(RuntimeError) {
      return try await get(task.container, exec: nil).map { isAnother($0, than: task) } ?? false
    } catch {
      return false
    }
  }

  private func settle(_ process: ContainerProcess, _ found: CDProcess?) async {
    guard let found else { return await settle(process) }
    if found.status == .stopped { stopped(process, found) }
  }

  private func loadQuietly(_ id: String, _ found: CDProcess? = nil) async {
    do throws(RuntimeError) {
      if let container = containers[id], !container.isUnsettled {
        try await adoptTask(of: container)
      } else if let container = containers[id], let found, stillRuns(container, found) {
        try await settleRestored(container, listed: found)
      } else {
        _ = try await load(id)
      }
    } catch {
      if error.kind == .notFound, let found, isOrphan(found, id) { return await removeOrphanedTask(id) }
      log.warning("cannot load", metadata: ["container": "\(id)", "error": "\(error.message)"])
    }
  }

  func listTasks() async throws(RuntimeError) -> [CDProcess] {
    try await containerd.call(ContainerdService.Tasks.list, CDListTasksRequest(), timeout: .seconds(30)).tasks
  }
}

extension CDProcess {
  /// Lists name a task's container here or there.
  var container: String { containerID.isEmpty ? id : containerID }
}
