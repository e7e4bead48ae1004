package import FIFOIO

/// A container as the worker knows it, retained from creation or loading until it is deleted.
@Loop
package final class Container {
  package let id: String
  /// Where its FIFOs are; the value of the label `containerd-worker/bundle`.
  package let bundle: String
  package let terminal: Bool
  /// The OCI spec as JSON.
  package let spec: [UInt8]
  package internal(set) var task: ContainerProcess?
  package internal(set) var execs: [String: ContainerProcess] = [:]
  /// Execs that are deleted in containerd and kept for whoever asks, the oldest first.
  private var ended: [String] = []
  var outOfMemory = false

  static let rememberedExecs = 256

  init(id: String, bundle: String, terminal: Bool, spec: [UInt8]) {
    self.id = id
    self.bundle = bundle
    self.terminal = terminal
    self.spec = spec
  }

  package func process(_ exec: String?) -> ContainerProcess? {
    if let exec { execs[exec] } else { task }
  }

  package var processes: [ContainerProcess] {
    (task.map { [$0] } ?? []) + execs.values
  }

  /// Keeps an exec that containerd no longer knows: its exit, and output that nobody has read. Only the last ones.
  func remember(_ process: ContainerProcess) {
    guard let exec = process.exec else { return }
    ended.append(exec)
    while ended.count > Container.rememberedExecs {
      let oldest = ended.removeFirst()
      if let process = execs[oldest], process.isDeleted { execs[oldest] = nil }
    }
  }
}

/// What a container is created from.
package struct NewContainer: Sendable {
  package var id: String
  /// The whole OCI spec as JSON.
  package var spec: [UInt8]
  package var terminal: Bool
  package var labels: [String: String]
  package var runtime: String
  package var runtimeOptions: RuncOptions?

  package init(
    id: String, spec: [UInt8], terminal: Bool, labels: [String: String], runtime: String,
    runtimeOptions: RuncOptions?
  ) {
    self.id = id
    self.spec = spec
    self.terminal = terminal
    self.labels = labels
    self.runtime = runtime
    self.runtimeOptions = runtimeOptions
  }
}

/// Options of `io.containerd.runc.v2`; what is not set is the shim's default.
package struct RuncOptions: Sendable, Equatable {
  package var binaryName = ""
  package var root = ""
  package var shimCgroup = ""
  package var systemdCgroup = false
  package var noPivotRoot = false
  package var noNewKeyring = false
  package var ioUID: UInt32 = 0
  package var ioGID: UInt32 = 0

  package init() {}
}

/// What a container's metadata says.
package struct ContainerSummary: Sendable {
  package let id: String
  package let labels: [String: String]
  package let image: String
  package let runtime: String
  package let createdAt: Timestamp?
  package let spec: [UInt8]
}

/// What containerd says of a process now.
package struct ProcessStatusReport: Sendable {
  package let status: String
  package let pid: UInt32
  package let exit: ExitStatus?
}
