package import FIFOIO

/// A container as the worker knows it, retained from creation or loading until it is deleted.
@Loop
package final class Container {
  package let id: String
  /// Where the worker puts the FIFOs of processes that it starts; the label `containerd-worker/bundle` holds it.
  package let bundle: String
  /// Nil where only events have told of it, another client's that nobody has asked for here, or an earlier worker's records.
  package internal(set) var metadata: ContainerMetadata?
  package internal(set) var task: ContainerProcess?
  package internal(set) var execs: [String: ContainerProcess] = [:]
  package internal(set) var isPaused = false {
    didSet { pauses += 1 }
  }
  /// How often that was said.
  private(set) var pauses = 0
  /// A size for the terminal that was asked for before there was a task.
  var pendingSize: WindowSize?
  /// containerd has told of a kill for lack of memory since the task began.
  var outOfMemory = false
  /// By a command of this worker, not of an earlier one.
  var isCreatedHere = false
  /// An earlier worker of this state directory has started processes in it.
  var isRestored = false
  /// A worker was killed while it started the task: containerd may still be at it.
  var hadCutStart = false
  /// Execs of which the same may be.
  var cutExecs: Set<String> = []
  var cutExecRemovals: [String: Task<RuntimeError?, Never>] = [:]
  /// Its deletion is told.
  var isForgotten = false
  /// Such kills that have been put down to a process.
  var knownKills: UInt64 = 0
  /// Execs that are deleted in containerd and kept for whoever asks, the oldest first.
  private var ended: [ContainerProcess] = []

  static let rememberedExecs = 256

  init(id: String, bundle: String, metadata: ContainerMetadata?) {
    self.id = id
    self.bundle = bundle
    self.metadata = metadata
  }

  package func process(_ exec: String?) -> ContainerProcess? {
    if let exec { execs[exec] } else { task }
  }

  /// There are processes of an earlier worker that have not been compared with containerd.
  var isUnsettled: Bool { processes.contains { $0.isUnsettled } }

  package var processes: [ContainerProcess] {
    (task.map { [$0] } ?? []) + execs.values
  }

  /// A new task: nothing of the last one counts any more.
  func began(_ task: ContainerProcess) {
    self.task = task
    outOfMemory = false
    knownKills = 0
    isPaused = false
  }

  /// Keeps an exec that containerd no longer knows: its exit, and output that nobody has read. Only the last ones.
  func remember(_ process: ContainerProcess) {
    guard let exec = process.exec else { return }
    // A health check has the same name again and again.
    ended.removeAll { $0.exec == exec }
    ended.append(process)
    while ended.count > Container.rememberedExecs {
      let oldest = ended.removeFirst()
      guard let exec = oldest.exec, execs[exec] === oldest else { continue }
      oldest.forget()
      execs[exec] = nil
    }
  }

  /// Their task is gone.
  func forgetExecs() {
    for exec in execs.values { exec.forget() }
    execs = [:]
    ended = []
  }
}

/// The size of a terminal in characters.
package struct WindowSize: Sendable, Equatable {
  package let columns: UInt32
  package let rows: UInt32

  package init(columns: UInt32, rows: UInt32) {
    self.columns = columns
    self.rows = rows
  }
}

/// What containerd's metadata say of a container, as far as it is needed to start its processes.
package struct ContainerMetadata: Sendable {
  /// The OCI spec as JSON.
  package let spec: [UInt8]
  package let facts: SpecFacts
  let shim: ShimChoice
}

/// What the runtime has to know of a spec, which it does not read itself.
package struct SpecFacts: Sendable, Equatable {
  /// The init process has a terminal.
  package var terminal = false
  /// The user of the init process as the host sees it, for whom its pipes are made.
  package var ioUID: UInt32 = 0
  package var ioGID: UInt32 = 0

  package init() {}
}

/// What a container is created from.
package struct NewContainer: Sendable {
  package var id: String
  /// The whole OCI spec as JSON.
  package var spec: [UInt8]
  package var labels: [String: String]
  package var shim: ShimChoice

  package init(id: String, spec: [UInt8], labels: [String: String], shim: ShimChoice) {
    self.id = id
    self.spec = spec
    self.labels = labels
    self.shim = shim
  }
}

/// What a container's metadata says.
package struct ContainerSummary: Sendable {
  package let id: String
  package let labels: [String: String]
  package let image: String
  package let runtime: String
  package let createdAt: Timestamp?
  /// Empty in lists.
  package let spec: [UInt8]
}

/// What containerd says of a process now.
package struct ProcessStatusReport: Sendable {
  package let status: String
  package let pid: UInt32
  package let exit: ExitStatus?
}
