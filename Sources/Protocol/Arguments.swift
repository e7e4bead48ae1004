/// Reads the arguments of a command: each may be asked for once, and what nobody asked for is refused at the end.
///
/// Each getter states the schema of what it takes beside the check, and a value that passes it: see `Inquiry`.
package struct Arguments {
  private var rest: [String: JSONValue]
  /// Where these arguments stand, for messages: empty at the top.
  private let path: String
  /// Set where nothing is read, but what could be is noted.
  var inquiry: Inquiry?

  package init(_ members: [String: JSONValue], path: String = "") {
    rest = members
    self.path = path
  }

  init(inquiry: Inquiry, path: String) {
    self.init([:], path: path)
    self.inquiry = inquiry
  }

  /// Fails when something is left that is not `x-…`.
  package func finish() throws(ProtocolError) {
    for name in rest.keys.sorted() where !name.hasPrefix("x-") {
      throw ProtocolError(.unknownArgument, "unknown argument: \(path + name)", argument: path + name)
    }
  }

  /// What all getters use. Schema and sample are not made where arguments are read.
  mutating func take(
    _ name: String, _ schema: @autoclosure () -> JSONValue, sample: @autoclosure () -> JSONValue
  ) -> JSONValue? {
    guard inquiry != nil else { return rest.removeValue(forKey: name) }
    return inquiry?.note(name, schema()) == true ? sample() : nil
  }

  /// What is there, left to be taken.
  func peek(_ name: String) -> JSONValue? {
    rest[name]
  }

  /// One of two ways to read what comes next; a schema has both.
  mutating func either<Value>(
    _ isFirst: Bool, _ first: Inquiry.Read<Value>, or second: Inquiry.Read<Value>
  ) throws(ProtocolError) -> Value {
    guard inquiry != nil else { return try isFirst ? first(&self) : second(&self) }
    var other = self
    _ = try second(&other)
    let value = try first(&self)
    inquiry?.merge(other.inquiry)
    return value
  }

  package func invalid(_ name: String, _ expected: String) -> ProtocolError {
    ProtocolError(.invalidArgument, "\(path + name) must be \(expected)", argument: path + name)
  }

  package func missing(_ name: String) -> ProtocolError {
    ProtocolError(.missingArgument, "\(path + name) is missing", argument: path + name)
  }

  package mutating func string(_ name: String) throws(ProtocolError) -> String? {
    try string(name, Schema.string, sample: name)
  }

  private mutating func string(
    _ name: String, _ schema: @autoclosure () -> JSONValue, sample: @autoclosure () -> String
  ) throws(ProtocolError) -> String? {
    guard let value = take(name, schema(), sample: .string(sample())) else { return nil }
    guard let text = value.string else { throw invalid(name, "a string") }
    return text
  }

  package mutating func bool(_ name: String) throws(ProtocolError) -> Bool? {
    guard let value = take(name, Schema.bool, sample: true) else { return nil }
    guard let flag = value.bool else { throw invalid(name, "true or false") }
    return flag
  }

  package mutating func integer(
    _ name: String, in range: ClosedRange<Int64>
  ) throws(ProtocolError) -> Int64? {
    guard let value = take(name, Schema.integer(range), sample: .int(range.lowerBound)) else { return nil }
    guard let number = value.int, range.contains(number) else {
      let (first, last) = (range.lowerBound, range.upperBound)
      throw invalid(name, first == last ? "\(first)" : "an integer from \(first) to \(last)")
    }
    return number
  }

  /// An array of strings; what its elements must be beyond that the caller checks.
  package mutating func strings(
    _ name: String, of element: @autoclosure () -> JSONValue = Schema.string, atLeast count: Int = 0,
    sample: @autoclosure () -> String = "x"
  ) throws(ProtocolError) -> [String]? {
    let value = take(
      name, Schema.array(of: element(), atLeast: count), sample: .array([.string(sample())]))
    guard let value else { return nil }
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
    guard let members = try object(name, Schema.map(of: Schema.string)) else { return nil }
    var map: [String: String] = [:]
    for (key, member) in members {
      guard let text = member.string else { throw invalid("\(name).\(key)", "a string") }
      map[key] = text
    }
    return map
  }

  /// An object passed on as it is; what must be in it the caller checks.
  package mutating func object(
    _ name: String, _ schema: @autoclosure () -> JSONValue = Schema.anyObject,
    sample: @autoclosure () -> JSONValue = [:]
  ) throws(ProtocolError) -> [String: JSONValue]? {
    guard let value = take(name, schema(), sample: sample()) else { return nil }
    guard let members = value.object else { throw invalid(name, "an object") }
    return members
  }

  /// An object with arguments of its own, all of which the closure must read.
  package mutating func nested<Value>(
    _ name: String, _ read: (inout Arguments) throws(ProtocolError) -> Value
  ) throws(ProtocolError) -> Value? {
    if inquiry != nil { return try inquiry?.noteObject(name, path + name + ".", read) }
    guard let members = try object(name) else { return nil }
    var arguments = Arguments(members, path: path + name + ".")
    let value = try read(&arguments)
    try arguments.finish()
    return value
  }

  /// One of a closed list, or of some of it.
  package mutating func choice<Value: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Value.Type, among some: [Value]? = nil
  ) throws(ProtocolError) -> Value? where Value.RawValue == String {
    let names = (some ?? Array(Value.allCases)).map(\.rawValue)
    guard let text = try string(name, Schema.choice(names), sample: names[0]) else { return nil }
    guard names.contains(text), let value = Value(rawValue: text) else {
      throw invalid(name, (names.count > 1 ? "one of " : "") + names.joined(separator: ", "))
    }
    return value
  }

  /// A byte of a stream.
  package mutating func offset() throws(ProtocolError) -> UInt64? {
    try integer("offset", in: 0...Limits.offset).map { UInt64($0) }
  }

  package mutating func base64(_ name: String) throws(ProtocolError) -> [UInt8]? {
    guard let text = try string(name, Schema.base64, sample: "") else { return nil }
    guard let bytes = Base64.decode(text) else { throw invalid(name, "base64 with padding") }
    return bytes
  }

  package mutating func absolutePath(_ name: String) throws(ProtocolError) -> String? {
    guard let path = try string(name, Schema.absolutePath, sample: "/") else { return nil }
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
    // Its own name is one, and two of them are not the same.
    guard let id = try string(name, Schema.identifier, sample: name) else { return nil }
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
