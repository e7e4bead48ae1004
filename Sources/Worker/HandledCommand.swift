internal import FIFOIO
internal import Protocol

/// A command with its handler: every command of Protocol is extended to this in Handlers.
protocol HandledCommand: Command {
  var route: Route { get }
  /// False for commands that only look.
  var changes: Bool { get }
  /// The process that it starts, if any.
  var starts: (container: String, process: ProcessName)? { get }
  @Loop
  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue
}

extension HandledCommand {
  var changes: Bool { true }
  var starts: (container: String, process: ProcessName)? { nil }
}
