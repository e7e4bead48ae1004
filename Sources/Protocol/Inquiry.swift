/// What a parser takes, found out from the parser itself, so that it cannot be described wrongly: it reads made-up values
/// while all that it asks for is noted, and once more without each of them.
struct Inquiry {
  /// What is not there this time.
  private let absent: Set<String>
  /// What was found out before: objects need not be looked into again.
  private let known: [String: JSONValue]
  /// The schema of each name that was asked for.
  private var asked: [String: JSONValue] = [:]

  private init(absent: Set<String> = [], known: [String: JSONValue] = [:]) {
    self.absent = absent
    self.known = known
  }

  /// Notes what was asked for; false where it is not there.
  mutating func note(_ name: String, _ schema: JSONValue) -> Bool {
    asked[name] = schema
    return !absent.contains(name)
  }

  /// Notes an object; nil where it is not there.
  mutating func noteObject<Value>(
    _ name: String, _ path: String, _ read: Read<Value>
  ) throws(ProtocolError) -> Value? {
    guard let schema = known[name] else {
      let (schema, value) = try Inquiry.about(path, read)
      return note(name, schema) ? value : nil
    }
    guard note(name, schema) else { return nil }
    var arguments = Arguments(inquiry: Inquiry(), path: path)
    return try read(&arguments)
  }

  /// Adds what another way of reading the same arguments asked for.
  mutating func merge(_ other: Inquiry?) {
    asked.merge(other?.asked ?? [:]) { Schema.any([$0, $1]) }
  }

  typealias Read<Value> = (inout Arguments) throws(ProtocolError) -> Value

  /// The schema of the object that a closure reads, and what it makes of the made-up values.
  static func about<Value>(_ path: String = "", _ read: Read<Value>) throws(ProtocolError) -> (
    schema: JSONValue, value: Value
  ) {
    let forms = try forms(path, without: [], [:], read)
    return (Schema.any(forms.map(\.schema)), forms[0].value)
  }

  /// The object as it is without some arguments, and, where leaving one more out makes the parser ask for others instead,
  /// its other forms.
  private static func forms<Value>(
    _ path: String, without absent: Set<String>, _ known: [String: JSONValue], _ read: Read<Value>
  ) throws(ProtocolError) -> [(schema: JSONValue, value: Value)] {
    var arguments = Arguments(inquiry: Inquiry(absent: absent, known: known), path: path)
    let value = try read(&arguments)
    let asked = (arguments.inquiry?.asked ?? [:]).filter { !absent.contains($0.key) }
    var required: [String] = []
    var others: [(schema: JSONValue, value: Value)] = []
    for name in asked.keys.sorted() {
      let less = absent.union([name])
      var arguments = Arguments(inquiry: Inquiry(absent: less, known: asked), path: path)
      do throws(ProtocolError) {
        _ = try read(&arguments)
        let instead = (arguments.inquiry?.asked ?? [:]).keys.filter { asked[$0] == nil && !less.contains($0) }
        if instead.isEmpty { continue }
        others += try forms(path, without: less, asked, read)
      } catch {
        if error.code != .missingArgument { throw error }
      }
      required.append(name)
    }
    return [(Schema.closed(asked, required: required), value)] + others
  }
}
