/// Reads the arguments of a command: each may be asked for once, and what nobody asked for is refused at the end.
package struct Arguments {
  private var rest: [String: JSONValue]
  /// Where these arguments stand, for messages: empty at the top.
  private let path: String

  package init(_ members: [String: JSONValue], path: String = "") {
    rest = members
    self.path = path
  }

  /// Fails when something is left that is not `x-…`.
  package func finish() throws(ProtocolError) {
    for name in rest.keys.sorted() where !name.hasPrefix("x-") {
      throw ProtocolError(.unknownArgument, "unknown argument: \(path + name)", argument: path + name)
    }
  }

  package mutating func take(_ name: String) -> JSONValue? {
    rest.removeValue(forKey: name)
  }

  /// What is there, left to be taken.
  func peek(_ name: String) -> JSONValue? {
    rest[name]
  }

  package func invalid(_ name: String, _ expected: String) -> ProtocolError {
    ProtocolError(.invalidArgument, "\(path + name) must be \(expected)", argument: path + name)
  }

  package func missing(_ name: String) -> ProtocolError {
    ProtocolError(.missingArgument, "\(path + name) is missing", argument: path + name)
  }

  package mutating func string(_ name: String) throws(ProtocolError) -> String? {
    guard let value = take(name) else { return nil }
    guard let text = value.string else { throw invalid(name, "a string") }
    return text
  }

  package mutating func bool(_ name: String) throws(ProtocolError) -> Bool? {
    guard let value = take(name) else { return nil }
    guard let flag = value.bool else { throw invalid(name, "true or false") }
    return flag
  }

  package mutating func integer(
    _ name: String, in range: ClosedRange<Int64> = 0...Int64.max
  ) throws(ProtocolError) -> Int64? {
    guard let value = take(name) else { return nil }
    guard let number = value.int, range.contains(number) else {
      throw invalid(name, "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  package mutating func strings(_ name: String) throws(ProtocolError) -> [String]? {
    guard let value = take(name) else { return nil }
    guard let elements = value.array else { throw invalid(name, "an array of strings") }
    var texts: [String] = []
    for element in elements {
      guard let text = element.string else { throw invalid(name, "an array of strings") }
      texts.append(text)
    }
    return texts
  }

  /// An object of strings.
  package mutating func stringMap(_ name: String) throws(ProtocolError) -> [String: String]? {
    guard let members = try object(name) else { return nil }
    var map: [String: String] = [:]
    for (key, member) in members {
      guard let text = member.string else { throw invalid("\(name).\(key)", "a string") }
      map[key] = text
    }
    return map
  }

  /// An object passed on as it is.
  package mutating func object(_ name: String) throws(ProtocolError) -> [String: JSONValue]? {
    guard let value = take(name) else { return nil }
    guard let members = value.object else { throw invalid(name, "an object") }
    return members
  }

  /// An object with arguments of its own, all of which the closure must read.
  package mutating func nested<Value>(
    _ name: String, _ read: (inout Arguments) throws(ProtocolError) -> Value
  ) throws(ProtocolError) -> Value? {
    guard let members = try object(name) else { return nil }
    var arguments = Arguments(members, path: path + name + ".")
    let value = try read(&arguments)
    try arguments.finish()
    return value
  }

  /// One of a closed list.
  package mutating func choice<Value: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Value.Type
  ) throws(ProtocolError) -> Value? where Value.RawValue == String {
    guard let text = try string(name) else { return nil }
    guard let value = Value(rawValue: text) else {
      throw invalid(name, "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return value
  }

  /// A byte of a stream.
  package mutating func offset() throws(ProtocolError) -> UInt64? {
    try integer("offset", in: 0...Limits.offset).map { UInt64($0) }
  }

  package mutating func absolutePath(_ name: String) throws(ProtocolError) -> String? {
    guard let path = try string(name) else { return nil }
    guard path.hasPrefix("/") else { throw invalid(name, "an absolute path") }
    return path
  }

  /// The id of a container, required.
  package mutating func container() throws(ProtocolError) -> String {
    guard let id = try identifier("container") else { throw missing("container") }
    return id
  }

  /// The id of a process: `init` where it is not said.
  package mutating func process() throws(ProtocolError) -> ProcessName {
    guard let id = try identifier("process"), id != "init" else { return .initial }
    return .exec(id)
  }

  package mutating func identifier(_ name: String) throws(ProtocolError) -> String? {
    guard let id = try string(name) else { return nil }
    guard Identifier.isValid(id) else { throw invalid(name, Identifier.rule) }
    return id
  }
}

extension JSONValue {
  /// True when there is a NUL anywhere: nothing that containerd or the kernel takes may hold one.
  var containsNUL: Bool {
    switch self {
    case .string(var text): text.withUTF8 { ByteScan.contains(0, in: UnsafeRawBufferPointer($0)) }
    case .array(let elements): elements.contains { $0.containsNUL }
    case .object(let members): members.values.contains { $0.containsNUL }
    case .null, .bool, .int, .real: false
    }
  }
}
