internal import Foundation

/// Holds JSON against a schema: as much of JSON Schema as the worker's description of itself uses. Any other keyword is
/// a fault, lest it be passed over.
package struct SchemaValidator: Sendable {
  /// Members that a schema with `properties` does not have are faults, also where it does not forbid them.
  private let isStrict: Bool

  package init(strict: Bool = false) {
    isStrict = strict
  }

  package func accepts(_ value: JSON, _ schema: JSON) -> Bool {
    faults(of: value, against: schema).isEmpty
  }

  /// What is wrong, with the path to it.
  package func faults(of value: JSON, against schema: JSON, at path: String = "$") -> [String] {
    if schema == true { return [] }
    guard let keywords = schema.object else { return ["\(path): not allowed"] }
    return keywords.sorted { $0.key < $1.key }.flatMap { keyword, rule -> [String] in
      switch keyword {
      case "anyOf": anyOf(value, rule, path)
      case "properties": properties(value, schema, path)
      case "required":
        (rule.array ?? []).compactMap(\.string).filter { value.object != nil && !value.has($0) }
          .map { "\(path).\($0): missing" }
      case "items":
        (value.array ?? []).enumerated().flatMap { faults(of: $1, against: rule, at: "\(path)[\($0)]") }
      case "additionalProperties" where !schema.has("properties"):
        (value.object ?? [:]).flatMap { faults(of: $1, against: rule, at: "\(path).\($0)") }
      case "additionalProperties", "patternProperties", "description", "contentEncoding": []
      default: holds(keyword, rule, value) ? [] : ["\(path): \(keyword) \(rule) not kept by \(value)"]
      }
    }
  }

  private func anyOf(_ value: JSON, _ forms: JSON, _ path: String) -> [String] {
    let faults = (forms.array ?? []).map { self.faults(of: value, against: $0, at: path) }
    if faults.contains(where: \.isEmpty) { return [] }
    return ["\(path): none of the forms: \(faults.map { $0.joined(separator: ", ") })"]
  }

  private func properties(_ value: JSON, _ schema: JSON, _ path: String) -> [String] {
    (value.object ?? [:]).sorted { $0.key < $1.key }.flatMap { name, member -> [String] in
      let place = "\(path).\(name)"
      if schema["properties"].has(name) {
        return faults(of: member, against: schema["properties"][name], at: place)
      }
      if (schema["patternProperties"].object ?? [:]).keys.contains(where: { matches(name, $0) }) { return [] }
      if schema.has("additionalProperties") {
        return faults(of: member, against: schema["additionalProperties"], at: place)
      }
      return isStrict ? ["\(place): not described"] : []
    }
  }

  /// A keyword that says nothing about values of another type holds for these.
  private func holds(_ keyword: String, _ rule: JSON, _ value: JSON) -> Bool {
    switch keyword {
    case "type": rule.string == type(of: value) || rule == "number" && value.double != nil
    case "const": rule == value
    case "enum": rule.array?.contains(value) ?? false
    case "minimum": value.int.map { $0 >= rule.int ?? .max } ?? true
    case "maximum": value.int.map { $0 <= rule.int ?? .min } ?? true
    case "minLength": value.string.map { $0.unicodeScalars.count >= rule.int ?? .max } ?? true
    case "maxLength": value.string.map { $0.unicodeScalars.count <= rule.int ?? .min } ?? true
    case "minItems": value.array.map { $0.count >= rule.int ?? .max } ?? true
    case "pattern": value.string.map { matches($0, rule.string ?? "") } ?? true
    default: false
    }
  }

  private func type(of value: JSON) -> String {
    switch value {
    case .null: "null"
    case .bool: "boolean"
    case .int: "integer"
    case .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }

  private func matches(_ text: String, _ pattern: String) -> Bool {
    // A Regex takes much longer to make.
    guard let expression = try? NSRegularExpression(pattern: pattern) else { return false }
    return expression.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
  }
}
