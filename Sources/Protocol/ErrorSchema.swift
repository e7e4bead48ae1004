extension ErrorCode {
  /// The schema of the member `error` of its line.
  var schema: JSONValue {
    var required: [String: JSONValue] = [
      "code": Schema.constant(.string(rawValue)), "message": Schema.string,
      "retry": Schema.constant(.string(retry.rawValue)),
    ]
    if retry == .later { required["retry_after_ms"] = Schema.count }
    let members = members
    return Schema.object(Part.merged(required, members.required), optional: members.optional)
  }

  private static let thing: [String: JSONValue] = Part.process
  private static let effect: [String: JSONValue] = ["effect": Schema.choice(["none", "done", "unknown"])]
  private static let argument: [String: JSONValue] = ["argument": Schema.string]
  private static let position: [String: JSONValue] = ["position": Schema.count]

  /// What it has beside the members of all.
  private var members: (required: [String: JSONValue], optional: [String: JSONValue]) {
    switch self {
    case .invalidJSON, .invalidUTF8, .tooDeep, .duplicateKey: (Self.position, [:])
    case .unknownArgument, .missingArgument: (Self.argument, [:])
    case .invalidArgument: ([:], Part.merged(Self.argument, Self.position, Self.thing))
    case .lineTooLong, .truncatedLine, .unknownCommand, .busy, .keyConflict, .limitReached, .slowConsumer,
      .permissionDenied:
      ([:], [:])
    case .cursorExpired: ([:], Self.argument)
    case .cancelled, .deadlineExceeded, .shuttingDown, .unavailable:
      ([:], Part.merged(Self.effect, Self.thing))
    case .notFound, .alreadyExists, .io, .internalError: ([:], Self.thing)
    case .wrongState: ([:], Part.merged(Self.argument, Self.thing))
    case .startFailed:
      (
        ["stage": Schema.choice(["create", "start", "exec"]), "exit_code": ["enum": [126, 127, 128]]],
        Self.thing
      )
    }
  }
}
