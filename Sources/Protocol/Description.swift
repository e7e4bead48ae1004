/// What the worker says of its own protocol.
package enum Description {
  /// All of it, or what is called by a name: a command, an event or the code of an error.
  package static func of(_ name: String? = nil) throws(ProtocolError) -> JSONValue {
    var members: [String: JSONValue] = ["protocol": 1]
    guard let name else {
      members["commands"] = .object(try commands(Commands.all))
      members["events"] = .object(events(EventName.allCases))
      members["errors"] = .object(errors(ErrorCode.allCases))
      members["lines"] = .object(LineSchema.all)
      return .object(members)
    }
    let named = Commands.all.filter { $0.name == name }
    if !named.isEmpty { members["commands"] = .object(try commands(named)) }
    if let event = EventName(rawValue: name) { members["events"] = .object(events([event])) }
    if let code = ErrorCode(rawValue: name) { members["errors"] = .object(errors([code])) }
    if members.count == 1 {
      throw ProtocolError(.notFound, "no command, event or error is called \(name)")
    }
    return .object(members)
  }

  private static func commands(_ types: [any Command.Type]) throws(ProtocolError) -> [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    for type in types { members[type.name] = ["arguments": try type.arguments(), "result": type.result] }
    return members
  }

  private static func events(_ names: [EventName]) -> [String: JSONValue] {
    Dictionary(uniqueKeysWithValues: names.map { ($0.rawValue, $0.schema) })
  }

  private static func errors(_ codes: [ErrorCode]) -> [String: JSONValue] {
    Dictionary(
      uniqueKeysWithValues: codes.map {
        ($0.rawValue, ["retry": .string($0.retry.rawValue), "error": $0.schema])
      })
  }
}
