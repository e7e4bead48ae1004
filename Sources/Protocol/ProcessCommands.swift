/// The size of a terminal in characters.
package struct TerminalSize: Sendable, Equatable {
  package let columns: UInt32
  package let rows: UInt32

  init(_ arguments: inout Arguments) throws(ProtocolError) {
    guard let columns = try arguments.integer("columns", in: 1...65535) else {
      throw arguments.missing("columns")
    }
    guard let rows = try arguments.integer("rows", in: 1...65535) else { throw arguments.missing("rows") }
    self.columns = UInt32(columns)
    self.rows = UInt32(rows)
  }
}

/// Exec: one more process in a running container.
package struct ProcessExec: Command {
  package enum Source: Sendable {
    /// An OCI process.
    case spec([String: JSONValue])
    case short(ShortProcess)
  }

  package static let name = "process.exec"
  package let container: String
  package let process: String
  package let source: Source
  package let stdio: StdioArguments
  package let onDisconnect: OnDisconnect

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    guard let process = try arguments.identifier("process") else { throw arguments.missing("process") }
    // containerd takes an exec that is called like its container, and then its exit looks like init's.
    if process == "init" || process == container {
      throw arguments.invalid("process", "neither init nor the container's id")
    }
    self.process = process
    stdio = try StdioArguments(&arguments)
    onDisconnect = try arguments.choice("on_disconnect", OnDisconnect.self) ?? .keep
    if let spec = try arguments.object("spec", ProcessExec.spec, sample: ["args": ["x"]]) {
      guard let args = spec["args"]?.array, !args.isEmpty, args.allSatisfy({ $0.string != nil }) else {
        throw arguments.missing("spec.args")
      }
      source = .spec(spec)
    } else {
      source = .short(try ShortProcess(&arguments))
    }
  }
}

extension ProcessExec {
  /// What must be in an OCI process; the rest is containerd's to judge.
  private static var spec: JSONValue {
    Schema.object(["args": Schema.array(of: Schema.string, atLeast: 1)])
  }
}

/// Kill: sends a signal.
package struct ProcessKill: Command {
  package static let name = "process.kill"
  package let container: String
  package let process: ProcessName
  package let signal: UInt32
  /// All processes of the container instead of one.
  package let all: Bool

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
    if let value = arguments.take("signal", Signal.schema, sample: "TERM") {
      guard let signal = Signal.parse(value) else {
        throw arguments.invalid("signal", "a signal's name or its number from 1 to 64")
      }
      self.signal = signal
    } else {
      signal = Signal.term
    }
    all = try arguments.bool("all") ?? false
  }
}

/// Status of a process.
package struct ProcessStatus: Command {
  package static let name = "process.status"
  package let container: String
  package let process: ProcessName

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
  }
}

/// Resize of a terminal; kept until the process runs.
package struct ProcessResize: Command {
  package static let name = "process.resize"
  package let container: String
  package let process: ProcessName
  package let size: TerminalSize

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
    size = try TerminalSize(&arguments)
  }
}

/// Process.Delete: frees what containerd keeps of a process that has ended.
package struct ProcessDelete: Command {
  package static let name = "process.delete"
  package let container: String
  package let process: ProcessName

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
  }
}

/// Create, start, attach, wait and delete in one.
package struct Run: Command {
  package static let name = "run"
  /// Made up where it is not said.
  package let container: String?
  package let description: ContainerDescription
  package let stdio: StdioArguments
  package let onDisconnect: OnDisconnect

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.identifier("container")
    // Descriptors come with a reply, and the reply to run is its last word.
    stdio = try StdioArguments(&arguments, modes: [.json])
    onDisconnect = try arguments.choice("on_disconnect", OnDisconnect.self) ?? .kill
    description = try ContainerDescription(&arguments)
  }
}
