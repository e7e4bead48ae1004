/// Parts of a JSON Schema, draft 2020-12.
enum Schema {
  static let string: JSONValue = ["type": "string"]
  static let bool: JSONValue = ["type": "boolean"]
  static let null: JSONValue = ["type": "null"]
  /// An object of which nothing more is said.
  static let anyObject: JSONValue = ["type": "object"]
  static let anyInteger: JSONValue = ["type": "integer"]
  /// A whole number from 0.
  static let count: JSONValue = ["type": "integer", "minimum": 0]
  static let identifier: JSONValue = [
    "type": "string", "pattern": "^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$", "maxLength": 76,
  ]
  static let absolutePath: JSONValue = ["type": "string", "pattern": "^/"]
  /// With padding, and without bits that no byte holds.
  static let base64: JSONValue = [
    "type": "string", "contentEncoding": "base64",
    "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
  ]

  static func integer(_ range: ClosedRange<Int64>) -> JSONValue {
    ["type": "integer", "minimum": .int(range.lowerBound), "maximum": .int(range.upperBound)]
  }

  static func string(_ length: ClosedRange<Int>) -> JSONValue {
    [
      "type": "string", "minLength": .int(Int64(length.lowerBound)),
      "maxLength": .int(Int64(length.upperBound)),
    ]
  }

  static func matching(_ pattern: String) -> JSONValue {
    ["type": "string", "pattern": .string(pattern)]
  }

  static func constant(_ value: JSONValue) -> JSONValue { ["const": value] }

  static func choice(_ values: [String]) -> JSONValue {
    ["type": "string", "enum": .array(values.map(JSONValue.string))]
  }

  static func choice<Value: RawRepresentable & CaseIterable>(_ type: Value.Type) -> JSONValue
  where Value.RawValue == String {
    choice(Value.allCases.map(\.rawValue))
  }

  static func array(of element: JSONValue, atLeast count: Int = 0) -> JSONValue {
    var schema: [String: JSONValue] = ["type": "array", "items": element]
    if count > 0 { schema["minItems"] = .int(Int64(count)) }
    return .object(schema)
  }

  /// An object whose keys are not known before.
  static func map(of member: JSONValue) -> JSONValue {
    ["type": "object", "additionalProperties": member]
  }

  /// What the worker sends: clients ignore members that they do not know, so these are not forbidden.
  static func object(_ required: [String: JSONValue] = [:], optional: [String: JSONValue] = [:]) -> JSONValue
  {
    var schema: [String: JSONValue] = [
      "type": "object", "properties": .object(required.merging(optional) { own, _ in own }),
    ]
    if !required.isEmpty { schema["required"] = names(required.keys) }
    return .object(schema)
  }

  /// What a client sends: nothing else but `x-…`.
  static func closed(_ properties: [String: JSONValue], required: some Sequence<String>) -> JSONValue {
    var schema: [String: JSONValue] = [
      "type": "object", "properties": .object(properties), "patternProperties": ["^x-": true],
      "additionalProperties": false,
    ]
    let required = names(required)
    if required != [] { schema["required"] = required }
    return .object(schema)
  }

  private static func names(_ names: some Sequence<String>) -> JSONValue {
    .array(names.sorted().map(JSONValue.string))
  }

  static func nullable(_ schema: JSONValue) -> JSONValue { any([schema, null]) }

  /// One of these forms; the same one twice counts once.
  static func any(_ forms: [JSONValue]) -> JSONValue {
    var all: [JSONValue] = []
    for form in forms.flatMap({ $0["anyOf"]?.array ?? [$0] }) where !all.contains(form) { all.append(form) }
    return all.count == 1 ? all[0] : ["anyOf": .array(all)]
  }
}
