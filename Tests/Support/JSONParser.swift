import Foundation

/// What was wrong with a line of the worker.
package struct JSONParseError: Error, CustomStringConvertible {
  package let reason: String
  package let position: Int
  package var description: String { "\(reason) at byte \(position)" }
}

extension JSON {
  /// Parses one JSON text strictly (duplicate keys and invalid UTF-8 are errors) and also tells the first key of
  /// the outermost object. The worker's own parser isn't used: a mistake in it would vouch for itself.
  package static func parse(_ bytes: UnsafeRawBufferPointer) throws -> (value: JSON, firstKey: String?) {
    var parser = JSONParser(bytes: bytes)
    let value = try parser.value(depth: 0)
    parser.skipSpace()
    guard parser.position == bytes.count else { throw parser.error("something after the value") }
    return (value, parser.firstKey)
  }

  package static func parse(_ text: String) throws -> JSON {
    try Array(text.utf8).withUnsafeBytes { try parse($0).value }
  }
}

/// A recursive descent over the bytes. Strings without escapes, which is what long lines are made of, are found
/// with `memchr` and validated by the standard library, so that debug builds keep up with 100 MB of output too.
private struct JSONParser {
  let bytes: UnsafeRawBufferPointer
  var position = 0
  var firstKey: String?

  func error(_ reason: String) -> JSONParseError { JSONParseError(reason: reason, position: position) }

  mutating func skipSpace() {
    while position < bytes.count, [0x20, 0x09, 0x0D].contains(bytes[position]) { position += 1 }
  }

  mutating func value(depth: Int) throws -> JSON {
    guard depth < 64 else { throw error("too deep") }
    skipSpace()
    guard position < bytes.count else { throw error("no value") }
    switch bytes[position] {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func object(depth: Int) throws -> JSON {
    position += 1
    var members: [String: JSON] = [:]
    if take("}") { return .object(members) }
    repeat {
      skipSpace()
      guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { throw error("no key") }
      let key = try string()
      if depth == 0, firstKey == nil { firstKey = key }
      guard take(":") else { throw error("no colon") }
      guard members.updateValue(try value(depth: depth + 1), forKey: key) == nil else {
        throw error("duplicate key \(key)")
      }
    } while take(",")
    guard take("}") else { throw error("object does not end") }
    return .object(members)
  }

  mutating func array(depth: Int) throws -> JSON {
    position += 1
    var elements: [JSON] = []
    if take("]") { return .array(elements) }
    repeat { elements.append(try value(depth: depth + 1)) } while take(",")
    guard take("]") else { throw error("array does not end") }
    return .array(elements)
  }

  mutating func word(_ text: StaticString, _ value: JSON) throws -> JSON {
    let length = text.utf8CodeUnitCount
    guard position + length <= bytes.count,
      bytes[position..<position + length].elementsEqual(
        UnsafeBufferPointer(start: text.utf8Start, count: length))
    else { throw error("no value") }
    position += length
    return value
  }

  mutating func number() throws -> JSON {
    let start = position
    while position < bytes.count, "+-.eE0123456789".utf8.contains(bytes[position]) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if let integer = Int64(text), text.first != "+" { return .int(integer) }
    guard text.contains(where: { ".eE".contains($0) }), let double = Double(text) else {
      throw error("no value or number outside the range")
    }
    return .double(double)
  }

  /// How far it is from `position` to the next `byte` before `limit`.
  func find(_ byte: Unicode.Scalar, before limit: Int) -> Int? {
    guard position < limit, let base = bytes.baseAddress,
      let found = memchr(base + position, Int32(byte.value), limit - position)
    else { return nil }
    return base.distance(to: UnsafeRawPointer(found))
  }

  func text(to end: Int) throws -> String {
    guard let text = String(validating: bytes[position..<end], as: UTF8.self) else {
      throw error("invalid UTF-8")
    }
    return text
  }

  mutating func string() throws -> String {
    position += 1
    guard var quote = find("\"", before: bytes.count) else { throw error("string does not end") }
    guard var backslash = find("\\", before: quote) else {
      let plain = try text(to: quote)
      position = quote + 1
      return plain
    }
    var result = ""
    while true {
      result += try text(to: backslash)
      position = backslash + 1
      result.unicodeScalars.append(try escape())
      if position > quote {
        guard let next = find("\"", before: bytes.count) else { throw error("string does not end") }
        quote = next
      }
      guard let next = find("\\", before: quote) else { break }
      backslash = next
    }
    result += try text(to: quote)
    position = quote + 1
    return result
  }

  mutating func escape() throws -> Unicode.Scalar {
    guard position < bytes.count else { throw error("string does not end") }
    position += 1
    switch bytes[position - 1] {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "u"): break
    default: throw error("unknown escape")
    }
    var value = try codeUnit()
    if (0xD800..<0xDC00).contains(value) {
      guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
        bytes[position + 1] == UInt8(ascii: "u")
      else { throw error("half a surrogate pair") }
      position += 2
      let low = try codeUnit()
      guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
      value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(value) else { throw error("half a surrogate pair") }
    return scalar
  }

  mutating func codeUnit() throws -> UInt32 {
    guard position + 4 <= bytes.count,
      let value = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
    else { throw error("bad escape") }
    position += 4
    return value
  }
}
