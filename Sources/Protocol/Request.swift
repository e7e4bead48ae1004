/// A command as it stands in the queue: its envelope checked, its arguments not read yet.
package struct Request: Sendable, Equatable {
  /// The client's name for a command: echoed as it was sent.
  package enum ID: Sendable, Hashable {
    case string(String)
    case int(Int64)

    package var json: JSONValue {
      switch self {
      case .string(let value): .string(value)
      case .int(let value): .int(value)
      }
    }
  }

  package var command: String
  package var id: ID?
  package var key: String?
  package var deadlineMilliseconds: Int64?
  package var arguments: [String: JSONValue]

  /// Why a line is no request, with its id where that could be read.
  package struct Refusal: Error {
    package let error: ProtocolError
    package let id: ID?
  }

  /// The largest integer that JavaScript and many JSON readers keep exactly.
  private static let largestID: Int64 = 1 << 53 - 1

  /// Parses one line.
  package init(line: UnsafeRawBufferPointer) throws(Refusal) {
    var id: ID?
    do throws(ProtocolError) {
      let members = try JSONParser.parseObject(line)
      id = try Request.readID(members["id"])
      self = try Request(members, id: id)
    } catch {
      throw Refusal(error: error, id: id)
    }
  }

  private init(_ members: [String: JSONValue], id: ID?) throws(ProtocolError) {
    self.id = id
    for name in members.keys.sorted()
    where !["command", "id", "key", "deadline_ms", "arguments"].contains(name) {
      if !name.hasPrefix("x-") {
        throw ProtocolError(.unknownArgument, "unknown key: \(name)", argument: name)
      }
    }
    guard let command = members["command"] else {
      throw ProtocolError(.missingArgument, "a line of a client needs command", argument: "command")
    }
    guard let name = command.string else {
      throw ProtocolError(.invalidArgument, "command must be a string", argument: "command")
    }
    self.command = name
    key = try Request.readKey(members["key"])
    if let deadline = members["deadline_ms"] {
      guard let milliseconds = deadline.int, milliseconds >= 0 else {
        throw ProtocolError(
          .invalidArgument, "deadline_ms must be an integer from 0", argument: "deadline_ms")
      }
      deadlineMilliseconds = milliseconds
    }
    switch members["arguments"] {
    case nil: arguments = [:]
    case .object(let members): arguments = members
    default: throw ProtocolError(.invalidArgument, "arguments must be an object", argument: "arguments")
    }
  }

  private static func readID(_ value: JSONValue?) throws(ProtocolError) -> ID? {
    switch value {
    case nil: return nil
    case .string(let text) where (1...Limits.id).contains(text.utf8.count) && !text.utf8.contains(0):
      return .string(text)
    case .int(let number) where number.magnitude <= largestID.magnitude: return .int(number)
    default:
      throw ProtocolError(
        .invalidArgument, "id must be a string of 1 to \(Limits.id) bytes or an integer up to 2^53-1",
        argument: "id")
    }
  }

  private static func readKey(_ value: JSONValue?) throws(ProtocolError) -> String? {
    guard let value else { return nil }
    guard let text = value.string, (1...Limits.key).contains(text.utf8.count), !text.utf8.contains(0) else {
      throw ProtocolError(
        .invalidArgument, "key must be a string of 1 to \(Limits.key) bytes", argument: "key")
    }
    return text
  }
}
