internal import CJansson

/// Strict JSON through jansson, with what jansson does not check checked before: UTF-8 with its position, the first
/// byte, the depth.
package enum JSONParser {
  /// Parses a line that must be one object.
  ///
  /// - Parameter long: from how many bytes on strings do not go through jansson, which changes nothing but the time.
  package static func parseObject(
    _ line: UnsafeRawBufferPointer, long: Int = LongStrings.length
  ) throws(ProtocolError) -> [String: JSONValue] {
    if let position = UTF8Check.firstInvalid(line) {
      throw ProtocolError(.invalidUTF8, "not UTF-8", position: position)
    }
    guard line.first == UInt8(ascii: "{") else {
      throw ProtocolError(.invalidJSON, "a line is one JSON object and starts with {", position: 0)
    }
    let outline = try LineOutline(line, long: long)
    guard case .object(let members) = try parse(line, taking: outline.longValues) else {
      throw ProtocolError(.invalidJSON, "not an object", position: 0)
    }
    return members
  }

  /// Parses any JSON text, such as a spec that containerd returned.
  package static func parse(_ text: UnsafeRawBufferPointer) throws(ProtocolError) -> JSONValue {
    try load(text, nil)
  }

  private static func parse(
    _ line: UnsafeRawBufferPointer, taking long: [Range<Int>]
  ) throws(ProtocolError) -> JSONValue {
    if long.isEmpty { return try load(line, nil) }
    let strings = LongStrings(line, long)
    do throws(ProtocolError) {
      return try strings.text.withUnsafeBufferPointer { text throws(ProtocolError) in
        try load(UnsafeRawBufferPointer(text), strings)
      }
    } catch {
      var error = error
      error.position = error.position.map(strings.position)
      throw error
    }
  }

  private static func load(
    _ text: UnsafeRawBufferPointer, _ strings: LongStrings?
  ) throws(ProtocolError) -> JSONValue {
    var error = json_error_t()
    let flags = Int(JSON_REJECT_DUPLICATES) | Int(JSON_ALLOW_NUL)
    guard let start = text.baseAddress?.assumingMemoryBound(to: CChar.self),
      let root = json_loadb(start, text.count, flags, &error)
    else { throw describe(error) }
    defer { json_decref(root) }
    return convert(root, strings)
  }

  private static func describe(_ error: json_error_t) -> ProtocolError {
    var error = error
    let code: ErrorCode =
      switch withUnsafePointer(to: &error, { json_error_code($0) }) {
      case json_error_duplicate_key: .duplicateKey
      case json_error_invalid_utf8: .invalidUTF8
      case json_error_stack_overflow: .tooDeep
      // Both are JSON by its grammar; what they say cannot be taken.
      case json_error_numeric_overflow, json_error_null_character, json_error_null_byte_in_key:
        .invalidArgument
      default: .invalidJSON
      }
    let text = withUnsafeBytes(of: &error.text) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return ProtocolError(code, text, position: max(0, Int(error.position)))
  }

  private static func convert(_ value: UnsafeMutablePointer<json_t>, _ strings: LongStrings?) -> JSONValue {
    switch value.pointee.type {
    case JSON_OBJECT:
      var members = [String: JSONValue](minimumCapacity: json_object_size(value))
      var iterator = json_object_iter(value)
      while let current = iterator {
        if let key = json_object_iter_key(current), let member = json_object_iter_value(current) {
          members[String(cString: key)] = convert(member, strings)
        }
        iterator = json_object_iter_next(value, current)
      }
      return .object(members)
    case JSON_ARRAY:
      return .array(
        (0..<json_array_size(value)).compactMap { json_array_get(value, $0).map { convert($0, strings) } })
    case JSON_STRING:
      let bytes = UnsafeRawBufferPointer(start: json_string_value(value), count: json_string_length(value))
      let string = String(decoding: bytes, as: UTF8.self)
      return .string(strings?[string] ?? string)
    case JSON_INTEGER: return .int(json_integer_value(value))
    case JSON_REAL: return .real(json_real_value(value))
    case JSON_TRUE: return .bool(true)
    case JSON_FALSE: return .bool(false)
    default: return .null
    }
  }
}
