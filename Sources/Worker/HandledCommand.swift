internal import FIFOIO
internal import Journal
internal import Protocol

/// A command with its handler: every command of Protocol is extended to this in Handlers.
protocol HandledCommand: Command {
  var route: Route { get }
  /// False for commands that only look.
  var changes: Bool { get }
  /// The process, if any, whose stdio commands wait for it where they come later.
  var holdsStdio: (container: String, process: ProcessName)? { get }
  /// False where a key means nothing: what only looks, and what is a matter of its connection.
  var takesKey: Bool { get }
  /// Done twice it does no more than once.
  var isRepeatable: Bool { get }
  /// Descriptors go with the reply, which can be given once only.
  var handsOver: Bool { get }
  /// What became of one that was cut short.
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution
  @Loop
  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue
}

extension HandledCommand {
  var changes: Bool { true }
  var takesKey: Bool { changes }
  var isRepeatable: Bool { false }
  var handsOver: Bool { false }

  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    isRepeatable ? .notDone : .unknown
  }
  var holdsStdio: (container: String, process: ProcessName)? { nil }
}
