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
    let (exits, isKnown) = await compare(id, found, known)
    if !isKnown { askAgain(id) }
    if let container = containers[id], container.task?.isRunning == true {
      await removeCutExecs(of: container)
    }
    return exits
  }

  /// Until containerd can tell what has become of a container's processes; a new subscription begins anew.
  private func askAgain(_ id: String) {
    let subscription = subscriptions
    Task { @Loop in
      var pause = Duration.milliseconds(200)
      while true {
        await Loop.sleep(pause)
        pause = min(pause * 2, .seconds(5))
        guard subscription == subscriptions, !isStopped else { return }
        let known = containers[id].map(Known.init)
        do throws(RuntimeError) {
          let found = try await get(id, exec: nil)
          if await compare(id, found, known).isKnown { return }
        } catch {
          log.debug("no answer yet", metadata: ["container": "\(id)", "error": "\(error.message)"])
        }
      }
    }
  }

  private typealias Outcome = (exits: Int, isKnown: Bool)

  private func compare(_ id: String, _ found: CDProcess?, _ known: Known?) async -> Outcome {
    guard let container = containers[id], container.isUnsettled else {
      return await compareSettled(id, found, known, known?.running ?? [])
    }
    let running = container.processes.filter(\.isRunning)
    // Of the others the last attempt, in which not all could be asked for, has told.
    let settled = (known?.running ?? []).filter { !$0.isUnsettled }
    var isKnown = await loadQuietly(id, found)
    if isKnown { isKnown = await compareSettled(id, found, known, settled).isKnown }
    return (running.count { !$0.isRunning }, isKnown)
  }

  private func compareSettled(
    _ id: String, _ found: CDProcess?, _ known: Known?, _ candidates: [ContainerProcess]
  ) async -> Outcome {
    guard let container = containers[id], let task = container.task else {
      guard let found else { return (0, true) }
      return (0, await loadQuietly(id, found))
    }
    // A start of our own is under way: its reply tells.
    if task.isOwn, task.life.phase < .started { return (0, true) }
    let running = candidates.filter(\.isRunning)
    if let found, isAnother(found, than: task) {
      guard let isAnother = await isStillAnother(than: task) else { return (0, false) }
      if !isAnother { return (0, true) }
      for process in running {
        process.isRefused = true
        process.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost))
      }
      // All others would wait for its output, which may still be on its way.
      guard task.life.phase >= .closed, let exit = task.life.exit else {
        return (running.count { !$0.isRunning }, false)
      }
      removeTask(task, of: container, exit)
      return (running.count { !$0.isRunning }, await loadQuietly(id))
    }
    // Not where an event is newer than the list.
    if let found, found.status == .paused || found.status == .running, known?.pauses == container.pauses {
      _ = paused(id, found.status == .paused)
    }
    if found?.status == .running, !task.isOwn, task.life.phase < .started { task.started(pid: task.pid) }
    let areKnown = await concurrently(running) { process in
      await self.settle(process, process === task ? found : nil)
    }
    // Of its deletion nothing will come any more.
    if found == nil, task.life.phase == .closed { await removeIfGone(task) }
    return (running.count { !$0.isRunning }, areKnown.allSatisfy { $0 })
  }

  /// UNKNOWN has no pid, and neither has a task that is still to be restored.
  private func isAnother(_ found: CDProcess, than task: ContainerProcess) -> Bool {
    found.status != .unknown && found.pid != 0 && task.pid != 0 && found.pid != task.pid
  }

  /// The list may be older than a task that was started since, which its own call and events tell of. Nil where
  /// containerd does not answer.
  private func isStillAnother(than task: ContainerProcess) async -> Bool? {
    do throws(RuntimeError) {
      return try await get(task.container, exec: nil).map { isAnother($0, than: task) } ?? false
    } catch {
      return nil
    }
  }

  private func settle(_ process: ContainerProcess, _ found: CDProcess?) async -> Bool {
    guard let found else { return await settle(process) }
    if found.status == .stopped { stopped(process, found) }
    return found.status != .unknown
  }

  /// - Returns: whether nothing is left to be found out.
  private func loadQuietly(_ id: String, _ found: CDProcess? = nil) async -> Bool {
    do throws(RuntimeError) {
      if let container = containers[id], !container.isUnsettled {
        try await adoptTask(of: container)
      } else if let container = containers[id], let found, stillRuns(container, found) {
        try await settleRestored(container, listed: found)
      } else {
        _ = try await load(id)
      }
      return true
    } catch {
      if error.kind == .notFound, let found, isOrphan(found, id) {
        await removeOrphanedTask(id)
      } else {
        log.warning("cannot load", metadata: ["container": "\(id)", "error": "\(error.message)"])
      }
      return error.kind == .notFound
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
