import TestSupport
import Testing

@testable import Protocol

/// The schemas of arguments and the parser mean the same: what the one accepts the other does, and the other way round.
struct ArgumentSchemaTests {
  private static let commands = Commands.all.map { $0.name }

  /// Why the parser refuses arguments; nil where it takes them.
  private func parse(_ command: String, _ arguments: JSON) throws -> ProtocolError? {
    let type = try #require(Commands.all.first { $0.name == command })
    do {
      let bytes = Array(arguments.description.utf8)
      _ = try type.parse(bytes.withUnsafeBytes { try JSONParser.parseObject($0) })
      return nil
    } catch let error as ProtocolError {
      return error
    }
  }

  private func schema(_ command: String) throws -> JSON {
    let type = try #require(Commands.all.first { $0.name == command })
    return try JSON.parse(String(decoding: type.arguments().encoded, as: UTF8.self))
  }

  /// Rules about more than one argument, and names of signals: these a schema does not have.
  private func isBeyondSchemas(_ command: String, _ arguments: JSON) -> Bool {
    switch command {
    case "process.exec": arguments["process"] == arguments["container"] || arguments["process"] == "init"
    case "process.kill": arguments["signal"].string != nil && arguments["signal"] != "TERM"
    case "container.create", "run": arguments["runtime"].has("name") && arguments["runtime"].has("options")
    default: false
    }
  }

  @Test(arguments: commands)
  func schemaAndParserAgree(command: String) throws {
    let schema = try schema(command)
    let samples = Samples.valid(schema)
    for sample in samples where !isBeyondSchemas(command, sample) {
      if let error = try parse(command, sample) { Issue.record("\(command) \(sample): \(error.message)") }
    }
    var (accepted, refused) = (0, 0)
    // One argument more than needed at a time: all of them at once would say nothing more, and take long.
    for arguments in Set(Samples.valid(schema, withAll: false).flatMap(Samples.mutants))
    where arguments.object != nil {
      if isBeyondSchemas(command, arguments) { continue }
      let error = try parse(command, arguments)
      let faults = SchemaValidator().faults(of: arguments, against: schema)
      if faults.isEmpty != (error == nil) {
        Issue.record("\(arguments): \(error?.message ?? "parsed"), \(faults)")
      }
      if error == nil { accepted += 1 } else { refused += 1 }
    }
    #expect(accepted > 0 && refused > 0)
  }

  @Test(arguments: commands)
  func whatIsRequiredIsMissedAndWhatIsUnknownIsRefused(command: String) throws {
    let schema = try schema(command)
    for form in schema["anyOf"].array ?? [schema] {
      let least = Samples.least(form)
      for name in (form["required"].array ?? []).compactMap(\.string) {
        var members = try #require(least.object)
        members[name] = nil
        #expect(try parse(command, .object(members))?.code == .missingArgument, "\(command) without \(name)")
      }
      let error = try parse(command, least.merging(["bogus": 1]))
      #expect(error?.code == .unknownArgument && error?.argument == "bogus")
    }
  }

  @Test func alternativesAreForms() throws {
    let forms = try #require(try schema("stdio.write")["anyOf"].array)
    #expect(forms.map { $0["required"] } == [["container", "text"], ["base64", "container"]])
    let exec = try #require(try schema("process.exec")["anyOf"].array)
    #expect(
      exec.map { $0["required"] } == [["container", "process", "spec"], ["args", "container", "process"]])
    #expect(!exec[0]["properties"].has("env") && exec[1]["properties"].has("env"))
  }
}

/// Values that a schema accepts, and such as it may not.
private enum Samples {
  static func valid(_ schema: JSON, name: String = "", withAll: Bool = true) -> [JSON] {
    if let forms = schema["anyOf"].array {
      return forms.flatMap { valid($0, name: name, withAll: withAll) }
    }
    if let values = schema["enum"].array { return values }
    switch schema["type"].string {
    case "boolean": return [true, false]
    case "integer": return [schema["minimum"], schema["maximum"]].map { $0.isNull ? 0 : $0 }
    case "array":
      let one = valid(schema["items"], name: name).map { JSON.array([$0]) }
      return schema["minItems"].isNull ? [[]] + one : one
    case "object": return objects(schema, withAll: withAll)
    default:
      // Names of arguments are ids, and differ.
      let longest = String(repeating: "x", count: schema["maxLength"].int ?? 1)
      let texts = [name, longest, "/a", "A=b", "", "AA==", "1:1"].map { JSON($0) }
      return Array(texts.filter { SchemaValidator().accepts($0, schema) }.prefix(2))
    }
  }

  private static func objects(_ schema: JSON, withAll: Bool) -> [JSON] {
    let least = least(schema)
    let each = (schema["properties"].object ?? [:]).sorted { $0.key < $1.key }.flatMap { name, member in
      valid(member, name: name, withAll: withAll).map { least.merging([name: $0]) }
    }
    let all = withAll ? [each.reduce(least) { $0.merging($1) }] : []
    var more: [JSON] = []
    if schema["additionalProperties"].object != nil {
      more = valid(schema["additionalProperties"], name: "k").map { ["k": $0] }
    }
    return [least] + all + each + more
  }

  /// An object with nothing but what is required.
  static func least(_ schema: JSON) -> JSON {
    let names = (schema["required"].array ?? []).compactMap(\.string)
    return .object(
      Dictionary(
        uniqueKeysWithValues: names.map { ($0, valid(schema["properties"][$0], name: $0).first ?? .null) }))
  }

  private static let pool: [JSON] = [
    nil, true, -1, 1.5, "?", "/a", [], [1], ["bogus": 1],
  ]

  /// The value with one thing about it changed, anywhere in it.
  static func mutants(_ value: JSON) -> [JSON] {
    switch value {
    case .int(let number):
      let near = [number &- 1, number &+ 1].map { JSON.int($0) }
      return pool + near
    case .string(let text): return pool + [JSON(text + "x")]
    case .array(let elements):
      return pool
        + elements.indices.flatMap { index in
          mutants(elements[index]).map { element in
            var changed = elements
            changed[index] = element
            return .array(changed)
          }
        }
    case .object(let members):
      var changed = pool + [value.merging(["bogus": 1]), value.merging(["x-bogus": 1])]
      for (name, member) in members {
        var less = members
        less[name] = nil
        changed.append(.object(less))
        changed += mutants(member).map { value.merging([name: $0]) }
      }
      return changed
    default: return pool
    }
  }
}
