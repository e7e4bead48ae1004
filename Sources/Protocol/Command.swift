/// A command of the wire: a type for its arguments. Its handler is in Worker.
package protocol Command: Sendable {
  static var name: String { get }
  /// The schema of its result.
  static var result: JSONValue { get }
  init(_ arguments: inout Arguments) throws(ProtocolError)
}

extension Command {
  /// Reads all arguments and refuses what is left over.
  package static func parse(_ members: [String: JSONValue]) throws(ProtocolError) -> Self {
    for (name, value) in members where value.containsNUL {
      throw Arguments(members).invalid(name, "free of \\u0000")
    }
    var arguments = Arguments(members)
    let command = try Self(&arguments)
    try arguments.finish()
    return command
  }
}

extension Command {
  /// The schema of its arguments.
  package static func arguments() throws(ProtocolError) -> JSONValue {
    try Inquiry.about { arguments throws(ProtocolError) in try Self(&arguments) }.schema
  }
}

/// Every command that there is.
package enum Commands {
  package static let all: [any Command.Type] = [
    Hello.self, Ping.self, Version.self, Describe.self, WorkerStatus.self, Cancel.self,
    ContainerCreate.self, ContainerInspect.self, ContainerList.self, ContainerDelete.self,
    TaskStart.self, TaskPause.self, TaskResume.self, TaskUpdate.self, TaskStats.self, TaskProcesses.self,
    TaskCheckpoint.self, TaskDelete.self,
    ProcessExec.self, ProcessKill.self, ProcessResize.self, ProcessStatus.self, ProcessDelete.self,
    StdioAttach.self, StdioDetach.self, StdioCredit.self, StdioWrite.self, StdioClose.self,
    EventsSubscribe.self, EventsAck.self,
    Run.self,
  ]

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  package static func parse(_ request: Request) throws(ProtocolError) -> any Command {
    guard let type = byName[request.command] else {
      throw ProtocolError(.unknownCommand, "unknown command: \(request.command)")
    }
    return try type.parse(request.arguments)
  }
}
