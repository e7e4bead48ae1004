internal import ContainerdAPI
package import FIFOIO
package import Journal
package import Logging
internal import Glibc
internal import SwiftProtobuf

/// Who is told what happens.
@Loop
package protocol RuntimeObserver: AnyObject {
  func runtime(_ event: LifecycleEvent)
  /// The process has stopped reading its stdin before all of it was written.
  func stdinBroke(_ process: ContainerProcess)
  /// What became of a start that was cut short is known, as far as it will be.
  func startIsSettled(_ process: ContainerProcess, _ fate: Fate)
  /// So much of its stdin can be written without waiting.
  func stdinTakes(_ process: ContainerProcess, upTo offset: UInt64)
}

/// containerd as objects that are retained: containers, their tasks, their processes. No call is made to look before
/// an operation; the server's answer decides.
@Loop
package final class ContainerRuntime {
  package let containerd: Containerd
  package weak var observer: (any RuntimeObserver)?
  package internal(set) var containers: [String: Container] = [:]
  /// True while events of containerd reach us.
  package internal(set) var connected = false
  /// Why it was not reached the last time.
  package internal(set) var lastFailure = ""
  /// containerd's own version, once it has told.
  package internal(set) var version: (version: String, revision: String)?
  package internal(set) var eventsReceived = 0
  /// Events that told of nothing new, or of something that nobody here knows.
  package internal(set) var eventsIgnored = 0
  let bundles: String
  let log: Logger
  /// Nil for none.
  let journal: Journal?
  let keepsBundles: Bool
  let readSpec: @Sendable ([UInt8]) -> SpecFacts
  var recent = RecentProcesses()
  private(set) var isStopped = false
  /// Containers that containerd is being asked to create.
  var creating: Set<String> = []
  /// What earlier workers left is cleared away.
  var isSwept = false
  /// Of containers that earlier workers left.
  var removals: [String: Task<Result<Void, RuntimeError>, Never>] = [:]
  lazy var creationsToldBefore = askForCreationsTold()
  /// Deletes of tasks that containerd has not answered.
  var taskDeletions: [String: Task<Result<CDDeleteResponse, RuntimeError>, Never>] = [:]
  /// Deletions that are told and not written yet.
  var deletionsUnderWay: Set<String> = []
  /// Containers of which this worker has told the creation or the end before that.
  var toldSinceStart: Set<String> = []
  private var loading: [String: Task<Result<Container, RuntimeError>, Never>] = [:]
  /// Those of them that were deleted meanwhile.
  private var outdated: Set<String> = []
  /// Counts subscriptions, so that what belongs to an earlier one can be told.
  var subscriptions = 0
  var samples: [String: CPUSample] = [:]
  var subscription: Task<Void, Never>?
  let firstAttempt = Waiter()

  package nonisolated static let bundleLabel = "containerd-worker/bundle"
  /// The idempotency key of the command that created a container.
  package nonisolated static let keyLabel = "containerd-worker/key"
  /// 1 on a container that is to go with the connection that it was created for.
  package nonisolated static let orphanLabel = "containerd-worker/ends-with-connection"
  /// 1 on a container that is to go with its process.
  package nonisolated static let runLabel = "containerd-worker/ends-with-process"

  /// - Parameters:
  ///   - stateDirectory: exists, and belongs to this worker alone.
  ///   - keepsBundles: leaves directories and FIFOs of deleted containers where they are, for who looks for a fault.
  ///   - readSpec: what an OCI spec as JSON says.
  package init(
    containerd: Containerd, stateDirectory: String, keepsBundles: Bool, journal: Journal? = nil, log: Logger,
    readSpec: @escaping @Sendable ([UInt8]) -> SpecFacts
  ) {
    self.containerd = containerd
    self.log = log
    self.journal = journal
    self.keepsBundles = keepsBundles
    self.readSpec = readSpec
    bundles = stateDirectory + "/bundles"
  }

  // MARK: - Containers

  /// NewContainer: one RPC and a directory.
  package func create(_ new: NewContainer) async throws(RuntimeError) -> Container {
    if removals[new.id] != nil {
      await untilRemoved(new.id)
      if Task.isCancelled { throw RuntimeError(.withdrawn, "cancelled before anything was done") }
    }
    if let known = containers[new.id], known.metadata != nil {
      throw RuntimeError(.alreadyExists, "container \(new.id) exists")
    }
    let bundle = bundles + "/" + new.id
    var container = CDContainer()
    container.id = new.id
    container.labels = new.labels
    container.labels[ContainerRuntime.bundleLabel] = bundle
    container.runtime.name = new.shim.name
    do {
      if let options = try new.shim.encodedOptions() { container.runtime.options = options }
    } catch {
      throw RuntimeError(.internalError, "cannot encode the runtime's options: \(error)")
    }
    container.spec = Google_Protobuf_Any(json: new.spec, typeURL: TypeURL.spec)
    var request = CDCreateContainerRequest()
    request.container = container
    creating.insert(new.id)
    defer { creating.remove(new.id) }
    _ = try await containerd.callToTheEnd(ContainerdService.Containers.create, request)
    // There was none any more, so all that is known of it has ended. The wait for that is not to be cut short.
    if let last = containers[new.id] { await Task { @Loop in await loseAll(of: last) }.value }
    let created = Container(
      id: new.id, bundle: bundle,
      metadata: ContainerMetadata(spec: new.spec, facts: readSpec(new.spec), shim: new.shim))
    created.isCreatedHere = true
    containers[new.id] = created
    tell(.containerCreated(new.id))
    return created
  }

  /// Of a creation that was cut short in telling; once, and not behind the end.
  package func tellCreated(_ id: String) {
    if !isSwept, !toldSinceStart.insert(id).inserted { return }
    tell(.containerCreated(id))
  }

  /// A container that this worker has at hand, or else containerd has: then with its task and execs. Who asks while it is
  /// being loaded waits for the same answer, which nobody's cancellation cuts short.
  package func load(_ id: String) async throws(RuntimeError) -> Container {
    if loading[id] == nil, let container = containers[id], container.metadata != nil, !container.isUnsettled {
      return container
    }
    let task =
      loading[id]
      ?? Task { @Loop in
        defer {
          loading[id] = nil
          outdated.remove(id)
        }
        do throws(RuntimeError) {
          return .success(try await fetch(id))
        } catch {
          return .failure(error)
        }
      }
    loading[id] = task
    return try await task.value.get()
  }

  private func fetch(_ id: String) async throws(RuntimeError) -> Container {
    var request = CDGetContainerRequest()
    request.id = id
    let before = containers[id]
    let answer: CDGetContainerResponse
    do throws(RuntimeError) {
      answer = try await containerd.call(ContainerdService.Containers.get, request)
    } catch {
      guard error.kind == .notFound else { throw error }
      // Not one that was created since.
      if let container = containers[id], container === before {
        if container.isUnsettled {
          await loseAll(of: container)
        } else if container.processes.allSatisfy(\.isDeleted) {
          forget(container)
        }
      }
      throw RuntimeError(.notFound, "no such container: \(id)")
    }
    let found = answer.container
    let summary = ContainerSummary(found, withSpec: false)
    if isPlaceholder(summary) { throw RuntimeError(.notFound, "no such container: \(id)") }
    let metadata = metadata(of: found)
    await tellIfUntold(summary)
    // It may have been created here meanwhile, or events have told of it.
    if let container = containers[id] {
      if container.metadata == nil { container.metadata = metadata }
      if container.isUnsettled { try await settleRestored(container) }
      return container
    }
    if outdated.contains(id) { throw RuntimeError(.notFound, "no such container: \(id)") }
    let container = Container(
      id: id, bundle: found.labels[ContainerRuntime.bundleLabel] ?? bundles + "/" + id, metadata: metadata)
    containers[id] = container
    do throws(RuntimeError) {
      try await adoptTask(of: container)
    } catch {
      // Half of the truth would be taken for all of it: the next one asks again.
      if container.task == nil, containers[id] === container { containers[id] = nil }
      throw error
    }
    return container
  }

  /// Container.Delete. containerd itself would delete the metadata under a running task and orphan its shim.
  package func delete(_ id: String, force: Bool) async throws(RuntimeError) {
    let container = try await load(id)
    if let last = container.task, !force, !last.isRunning { await removeIfGone(last) }
    try await clearCutStart(of: container)
    var hasDeletedTask = false
    if container.task != nil {
      guard force else { throw RuntimeError(.wrongState, "container \(id) has a task") }
      do throws(RuntimeError) {
        _ = try await deleteTask(id, force: true)
        hasDeletedTask = true
      } catch {
        if error.kind != .notFound { throw error }
      }
    }
    // By a deletion that was beside this one: its directory has gone, too, or is about to.
    if container.isForgotten { throw RuntimeError(.notFound, "container \(id) is gone") }
    // As `removeBundle` says; one that was never started has none yet.
    if !keepsBundles, container.bundle == bundles + "/" + id {
      for directory in [bundles, container.bundle] { mkdir(directory, 0o700) }
    }
    var request = CDDeleteContainerRequest()
    request.id = id
    do throws(RuntimeError) {
      _ = try await containerd.call(ContainerdService.Containers.delete, request)
    } catch {
      // Somebody else deleted it: then it is gone for us too.
      if error.kind == .notFound { forget(container) }
      throw hasDeletedTask ? error.afterAnEffect : error
    }
    forget(container)
  }

  /// Whoever finds first that it is gone tells it.
  func forget(_ container: Container) {
    if container.isForgotten { return }
    container.isForgotten = true
    if loading[container.id] != nil { outdated.insert(container.id) }
    if !isSwept { toldSinceStart.insert(container.id) }
    for process in container.processes { process.release() }
    if containers[container.id] === container { containers[container.id] = nil }
    samples[container.id] = nil
    forgetCutExecs(of: container)
    if container.hadCutStart { journal?.append(.forgetProcess(container: container.id, exec: "")) }
    tell(.containerDeleted(container.id))
    removeBundle(of: container)
  }

  /// Only the directory that this worker makes is ever removed. It goes last, once all that was told is written: by it the
  /// next worker knows what this one may not have come to tell. There may be FIFOs in it again by then.
  func removeBundle(of container: Container) {
    if keepsBundles || container.bundle != bundles + "/" + container.id { return }
    FIFOSet.removeAll(in: container.bundle)
    guard let journal else { return _ = rmdir(container.bundle) }
    deletionsUnderWay.insert(container.id)
    journal.whenWritten { [weak self] in
      self?.deletionsUnderWay.remove(container.id)
      rmdir(container.bundle)
    }
  }

  // MARK: - Version

  /// containerd's version and revision.
  package func fetchVersion() async throws(RuntimeError) -> (version: String, revision: String) {
    let answer = try await containerd.call(ContainerdService.Version.version, Empty(), timeout: .seconds(10))
    version = (answer.version, answer.revision)
    return (answer.version, answer.revision)
  }

  // MARK: - Stop

  /// Ends every call and lets go of all stdio. Containers go on running.
  package func stop() async {
    isStopped = true
    subscription?.cancel()
    for container in containers.values {
      for process in container.processes { process.letGo() }
    }
    await containerd.cancelAll()
  }

  /// What containerd has of a process. It says of each exec of a paused container that it is paused (exec.go): one that has
  /// ended, or was not started, is told as that.
  func get(_ id: String, exec: String?) async throws(RuntimeError) -> CDProcess? {
    var request = CDGetRequest()
    request.containerID = id
    request.execID = exec ?? ""
    do throws(RuntimeError) {
      var found = try await containerd.call(ContainerdService.Tasks.get, request, timeout: .seconds(10))
        .process
      if exec != nil, [.paused, .pausing].contains(found.status) {
        if found.exitedAt.seconds > 0 {
          found.status = .stopped
        } else if found.pid == 0 {
          found.status = .created
        }
      }
      return found
    } catch {
      if error.kind == .notFound { return nil }
      throw error
    }
  }
}

extension Timestamp {
  init(_ timestamp: Google_Protobuf_Timestamp) {
    self.init(seconds: timestamp.seconds, nanoseconds: timestamp.nanos)
  }

  /// Nil for Go's zero time, in the year 1, which containerd has where it does not know.
  init?(ofExit timestamp: Google_Protobuf_Timestamp) {
    if timestamp.seconds <= 0 { return nil }
    self.init(timestamp)
  }
}
