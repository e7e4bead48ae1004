/// Start: create and start in one.
package struct TaskStart: Command {
  package static let name = "task.start"
  package let container: String
  package let stdio: StdioArguments
  /// A directory with a checkpoint to go on from.
  package let checkpoint: String?

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    stdio = try StdioArguments(&arguments)
    checkpoint = try arguments.absolutePath("checkpoint")
  }
}

/// Pause: freezes all processes of the task.
package struct TaskPause: Command {
  package static let name = "task.pause"
  package let container: String

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
  }
}

/// Resume: ends a pause.
package struct TaskResume: Command {
  package static let name = "task.resume"
  package let container: String

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
  }
}

/// UpdateResources: new limits for a task that runs.
package struct TaskUpdate: Command {
  package static let name = "task.update"
  package let container: String
  /// OCI LinuxResources; what is absent stays as it is.
  package let resources: [String: JSONValue]

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    guard let resources = try arguments.object("resources") else { throw arguments.missing("resources") }
    self.resources = resources
  }
}

/// Stats: what tasks use of the machine.
package struct TaskStats: Command {
  package static let name = "task.stats"
  /// Empty for all tasks of the namespace.
  package let containers: [String]

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    var ids = try arguments.identifier("container").map { [$0] } ?? []
    if let more = try arguments.strings("containers", of: Schema.identifier) {
      guard more.allSatisfy(Identifier.isValid) else {
        throw arguments.invalid("containers", "an array of " + Identifier.rule)
      }
      ids += more.filter { !ids.contains($0) }
    }
    containers = ids
  }
}

/// Pids: every process of a task, with the exec that it belongs to.
package struct TaskProcesses: Command {
  package static let name = "task.processes"
  package let container: String

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
  }
}

/// CreateCheckpoint: dumps a task to a directory.
package struct TaskCheckpoint: Command {
  package static let name = "task.checkpoint"
  package let container: String
  package let directory: String
  /// The task ends with the dump.
  package let exit: Bool

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    guard let directory = try arguments.absolutePath("directory") else {
      throw arguments.missing("directory")
    }
    self.directory = directory
    exit = try arguments.bool("exit") ?? false
  }
}

/// Delete; forced, it kills all processes first and waits for the end.
package struct TaskDelete: Command {
  package static let name = "task.delete"
  package let container: String
  package let force: Bool

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    force = try arguments.bool("force") ?? false
  }
}
