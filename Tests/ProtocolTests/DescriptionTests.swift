import Foundation
import TestSupport
import Testing

@testable import Protocol

/// What `describe` tells.
struct DescriptionTests {
  private func description(_ name: String? = nil) throws -> JSON {
    try JSON.parse(String(decoding: Description.of(name).encoded, as: UTF8.self))
  }

  @Test func everyCommandEventAndErrorIsDescribed() throws {
    let all = try description()
    #expect(Set(all["commands"].object?.keys ?? [:].keys) == Set(Commands.all.map { $0.name }))
    #expect(Set(all["events"].object?.keys ?? [:].keys) == Set(EventName.allCases.map(\.rawValue)))
    #expect(Set(all["errors"].object?.keys ?? [:].keys) == Set(ErrorCode.allCases.map(\.rawValue)))
    #expect(
      all["errors"]["busy"]["retry"] == "later")
  }

  @Test func onePartIsAsInTheWhole() throws {
    let all = try description()
    for (part, name) in [("commands", "run"), ("events", "stdio.gap"), ("errors", "not_found")] {
      #expect(try description(name) == ["protocol": 1, part: [name: all[part][name]]])
    }
    #expect {
      try Description.of("nope")
    } throws: {
      ($0 as? ProtocolError)?.code == .notFound
    }
  }

  @Test func theReferenceNamesAllThatIsDescribed() throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../protocol.md")
    let text = try String(contentsOf: file, encoding: .utf8)
    let all = try description()
    for part in ["commands", "events", "errors"] {
      for name in (all[part].object ?? [:]).keys { #expect(text.contains("`\(name)`"), "\(name)") }
    }
  }

  /// Keywords that are none would be passed over by clients.
  @Test func allSchemasAreSchemas() throws {
    let all = try description()
    for (name, command) in all["commands"].object ?? [:] {
      for part in ["arguments", "result"] { try check(command[part], "\(name).\(part)") }
    }
    for (name, event) in all["events"].object ?? [:] { try check(event, name) }
    for (name, error) in all["errors"].object ?? [:] { try check(error["error"], name) }
    for (name, line) in all["lines"].object ?? [:] { try check(line, name) }
  }

  private func check(_ schema: JSON, _ path: String) throws {
    if schema.bool != nil { return }
    let keywords = try #require(schema.object, "\(path)")
    #expect(!keywords.isEmpty, "\(path)")
    for (keyword, value) in keywords {
      switch keyword {
      case "properties", "patternProperties":
        for (name, member) in value.object ?? [:] { try check(member, "\(path).\(name)") }
      case "items", "additionalProperties": try check(value, path + "[]")
      case "anyOf": for form in value.array ?? [] { try check(form, path) }
      case "required":
        for name in value.array ?? [] {
          #expect(schema["properties"].has(name.string ?? ""), "\(path) requires \(name)")
        }
      case "pattern": _ = try Regex(value.string ?? "(")
      default:
        let known = ["type", "const", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems"]
        #expect((known + ["contentEncoding", "description"]).contains(keyword), "\(path) has \(keyword)")
      }
    }
  }
}
