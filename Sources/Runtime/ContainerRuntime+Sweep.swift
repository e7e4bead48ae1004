internal import ContainerdAPI
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging

/// What nobody waits for any more, and is done however long containerd is away.
extension ContainerRuntime {
  /// Kills a process.
  package func kill(_ process: ContainerProcess) async {
    await insist("kill", process.container) { () async throws(RuntimeError) in
      guard process.isRunning else { return }
      try await self.killRPC(process.container, exec: process.exec, signal: UInt32(SIGKILL), all: false)
    }
  }

  /// Deletes a container with everything. Somebody else may have deleted it, and made another one of this id.
  package func remove(_ container: Container) async {
    await insist("delete", container.id) { () async throws(RuntimeError) in
      guard self.containers[container.id] === container else { return }
      try await self.delete(container.id, force: true)
    }
  }

  /// Deletes a container of an earlier worker with everything.
  ///
  /// - Parameter whenEnded: not before its process has ended.
  private func removeOld(_ id: String, whenEnded: Bool) async {
    await insist("delete", id) { () async throws(RuntimeError) in
      if self.isNew(id) { return }
      let ended = whenEnded ? try await self.load(id) : nil
      await ended?.task?.waitForClose()
      try await self.removing(id) { () async throws(RuntimeError) in
        if self.isNew(id) { return }
        let container = try await self.load(id)
        if container.isCreatedHere || container !== ended ?? container { return }
        try await self.delete(id, force: true)
      }
    }
  }

  /// Has who is about to create one of this id wait.
  func removing(
    _ id: String, _ body: @escaping @Loop () async throws(RuntimeError) -> Void
  ) async throws(RuntimeError) {
    await untilRemoved(id)
    let removal = Task { @Loop () -> Result<Void, RuntimeError> in
      // Here, and not behind the wait for it: who else waits may come first.
      defer { removals[id] = nil }
      do throws(RuntimeError) {
        return .success(try await body())
      } catch {
        return .failure(error)
      }
    }
    removals[id] = removal
    try await removal.value.get()
  }

  /// Returns when no container of this id that an earlier worker left is being deleted.
  package func untilRemoved(_ id: String) async {
    while let removal = removals[id] { _ = await removal.value }
  }

  /// Returns after the first attempt; the others are made beside.
  func insist(
    _ what: String, _ id: String, pause: Duration = .milliseconds(50),
    _ body: @escaping @Loop () async throws(RuntimeError) -> Void
  ) async {
    if isStopped { return }
    do throws(RuntimeError) {
      return try await body()
    } catch {
      if error.kind == .notFound { return }
      log.warning(
        "cannot \(what) what nobody waits for",
        metadata: ["container": "\(id)", "error": "\(error.message)"])
      guard error.isPassing else { return }
    }
    Task { @Loop in
      await Loop.sleep(pause)
      await insist(what, id, pause: min(pause * 2, .seconds(2)), body)
    }
  }
}

/// Containers that are gone, of which an earlier worker was cut short in telling and in clearing away.
extension ContainerRuntime {
  /// Once, after the first word of containerd.
  func sweep() async {
    if isSwept { return }
    // Before the list: what is made meanwhile is in neither.
    let bundles = keepsBundles ? [] : FIFOSet.names(in: bundles)
    let remembered = containers.values.filter { $0.isOnlyRemembered }
    var listed: [ContainerSummary] = []
    do throws(RuntimeError) {
      try await forEachContainer([]) {
        listed.append(ContainerSummary($0, withSpec: false))
        learn($0)
      }
    } catch {
      return log.warning("cannot list containers", metadata: ["error": "\(error.message)"])
    }
    let told = await creationsToldBefore.value
    if isSwept { return }
    for placeholder in listed where isPlaceholder(placeholder) {
      Task { @Loop in await removeOrphanedTask(placeholder.id) }
    }
    let ids = Set(listed.map(\.id))
    await clearAway(
      bundles.filter { !ids.contains($0) && FIFOSet.hasOurs(in: "\(self.bundles)/\($0)") })
    if isSwept { return }
    for container in remembered where !ids.contains(container.id) && container.isOnlyRemembered {
      drop(container)
    }
    let ours = listed.filter { isOurs($0) && !isNew($0.id) }
    for container in ours { tellUntold(container, told) }
    isSwept = true
    toldSinceStart = []
    // The connections that they were to end with have gone with their worker.
    for container in ours {
      let isOrphan = container.labels[ContainerRuntime.orphanLabel] != nil
      guard isOrphan || container.labels[ContainerRuntime.runLabel] != nil else { continue }
      Task { @Loop in await removeOld(container.id, whenEnded: !isOrphan) }
    }
  }

  /// Its deletion has been told: only the journal still had something of it.
  private func drop(_ container: Container) {
    guard containers[container.id] === container else { return }
    for process in container.processes { process.forget() }
    forgetCutExecs(of: container)
    containers[container.id] = nil
    journal?.append(.forgetProcess(container: container.id, exec: ""))
  }

  /// What is listed anyway nobody has to ask for once the container is used.
  private func learn(_ found: CDContainer) {
    guard let container = containers[found.id], container.isRestored, container.metadata == nil else {
      return
    }
    container.metadata = metadata(of: found)
  }

  /// By a command of this worker, not of an earlier one.
  func isNew(_ id: String) -> Bool {
    creating.contains(id) || containers[id]?.isCreatedHere == true
  }

  /// containerd has no such container: what is left of it here goes, and that is told.
  /// To be called where nobody can create one of this id meanwhile.
  package func clearAway(_ id: String) async {
    // Also one that this worker made: the answer to its deletion was lost.
    if let known = containers[id], known.processes.allSatisfy(\.isDeleted) { return forget(known) }
    await clearAway([id])
  }

  private func clearAway(_ ids: [String]) async {
    if ids.isEmpty { return }
    let past = await askWhatWasTold()
    for id in ids {
      let (known, bundle) = (containers[id], bundles + "/" + id)
      // One that is being started anew, or has not been compared yet, is seen to by that.
      if isNew(id) || known?.processes.allSatisfy(\.isDeleted) == false { continue }
      if let known {
        forget(known)
      } else if access(bundle, F_OK) == 0, !deletionsUnderWay.contains(id) {
        let container = Container(id: id, bundle: bundle, metadata: nil)
        if past?.isThere(id) != false { forget(container) } else { removeBundle(of: container) }
      }
    }
  }

  /// What the journal has of creations and deletions.
  private struct Past {
    let creations: Told
    let deletions: Told

    /// Whether a client believes that there is such a container: its creation was told, and its deletion not.
    func isThere(_ id: String) -> Bool {
      guard let creation = creations.last[id] else {
        return !creations.isComplete && deletions.last[id] == nil
      }
      return creation > deletions.last[id] ?? .min
    }
  }

  private func askWhatWasTold() async -> Past? {
    guard let journal else { return nil }
    return Past(
      creations: await journal.told("container.created", since: .min),
      deletions: await journal.told("container.deleted", since: .min))
  }
}

/// Containers of which the last worker had not come to tell that they were created.
extension ContainerRuntime {
  /// How far clocks and the seconds that containerd tells may be apart.
  private static let margin: Int64 = 5_000_000_000

  /// What the last worker told of creations shortly before its end; nil where there was none.
  func askForCreationsTold() -> Task<Told?, Never> {
    Task { @Loop in
      guard let journal, journal.lastTimeBefore > 0 else { return nil }
      return await journal.told(
        "container.created", since: journal.lastTimeBefore - 2 * ContainerRuntime.margin)
    }
  }

  /// Before anything else is told of a container that the sweep has not come to.
  func tellIfUntold(_ container: ContainerSummary) async {
    if isSwept || !isOurs(container) { return }
    let told = await creationsToldBefore.value
    if !isSwept, !isNew(container.id) { tellUntold(container, told) }
  }

  private func tellUntold(_ container: ContainerSummary, _ told: Told?) {
    if !wasTold(container, told) { tellCreated(container.id) }
  }

  private func isOurs(_ container: ContainerSummary) -> Bool {
    container.labels[ContainerRuntime.bundleLabel]?.hasPrefix(bundles + "/") == true
  }

  /// Only what was created about when the last worker died can have been left out.
  private func wasTold(_ container: ContainerSummary, _ told: Told?) -> Bool {
    guard let journal, let told, let created = container.createdAt else { return true }
    let time = created.total
    if time < journal.lastTimeBefore - ContainerRuntime.margin { return true }
    return told.has(container.id, since: time - ContainerRuntime.margin) ?? true
  }
}

extension Container {
  /// Of an earlier worker there is nothing here but what a start left, or the output of what has ended.
  fileprivate var isOnlyRemembered: Bool {
    processes.allSatisfy(\.isDeleted) && (hadCutStart || !cutExecs.isEmpty || !processes.isEmpty)
  }
}
