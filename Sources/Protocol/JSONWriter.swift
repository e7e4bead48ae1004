/// Writes JSON straight into a byte buffer. The caller keeps to the grammar; commas come by themselves.
package struct JSONWriter: Sendable {
  package var bytes: [UInt8]
  private var needsComma = false

  package init(into bytes: [UInt8] = []) {
    self.bytes = bytes
  }

  package mutating func object(_ key: StaticString? = nil, _ body: (inout JSONWriter) -> Void) {
    open(key, UInt8(ascii: "{"))
    body(&self)
    close(UInt8(ascii: "}"))
  }

  package mutating func array(_ key: StaticString? = nil, _ body: (inout JSONWriter) -> Void) {
    open(key, UInt8(ascii: "["))
    body(&self)
    close(UInt8(ascii: "]"))
  }

  package mutating func field(_ key: StaticString, _ value: String) {
    name(key)
    write(value)
  }

  /// Nothing where there is no value.
  package mutating func field(_ key: StaticString, optional value: String?) {
    if let value { field(key, value) }
  }

  package mutating func field(_ key: StaticString, _ value: some BinaryInteger) {
    name(key)
    write(value)
  }

  package mutating func field(_ key: StaticString, optional value: (some BinaryInteger)?) {
    if let value { field(key, value) }
  }

  package mutating func field(_ key: StaticString, _ value: Bool) {
    name(key)
    append(value ? "true" : "false")
  }

  package mutating func field(_ key: StaticString, _ value: JSONValue) {
    name(key)
    needsComma = false
    self.value(value)
    needsComma = true
  }

  package mutating func null(_ key: StaticString) {
    name(key)
    append("null")
  }

  /// A member whose name is not known when the program is written.
  package mutating func member(_ key: String, _ value: JSONValue) {
    separate()
    write(key)
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
    self.value(value)
    needsComma = true
  }

  package mutating func element(_ value: String) {
    separate()
    write(value)
  }

  package mutating func element(_ value: some BinaryInteger) {
    separate()
    write(value)
  }

  /// A whole value where one is due.
  package mutating func value(_ value: JSONValue) {
    switch value {
    case .null: append("null")
    case .bool(let value): append(value ? "true" : "false")
    case .int(let value): write(value)
    case .real(let value): bytes.append(contentsOf: value.description.utf8)
    case .string(let value): write(value)
    case .array(let elements):
      array { writer in
        for element in elements {
          writer.separate()
          writer.needsComma = false
          writer.value(element)
          writer.needsComma = true
        }
      }
    case .object(let members):
      object { writer in
        for (key, member) in members.sorted(by: { $0.key < $1.key }) { writer.member(key, member) }
      }
    }
  }

  /// Text that is JSON as it stands.
  package mutating func append(_ text: StaticString) {
    bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  private mutating func name(_ key: StaticString) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    append(key)
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
    needsComma = true
  }

  private mutating func separate() {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
    needsComma = true
  }

  private mutating func open(_ key: StaticString?, _ bracket: UInt8) {
    if let key { name(key) } else { separate() }
    bytes.append(bracket)
    needsComma = false
  }

  private mutating func close(_ bracket: UInt8) {
    bytes.append(bracket)
    needsComma = true
  }

  private mutating func write(_ value: String) {
    var value = value
    bytes.append(UInt8(ascii: "\""))
    value.withUTF8 { text in
      // A Swift string is always valid UTF-8.
      _ = TextEncoder.append(UnsafeRawBufferPointer(text), to: &bytes)
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func write(_ value: some BinaryInteger) {
    bytes.append(contentsOf: value.description.utf8)
  }
}
