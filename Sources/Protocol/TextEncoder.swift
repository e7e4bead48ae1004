/// Text as the inside of a JSON string that is safe to show on a terminal: C0, DEL, C1, U+2028, U+2029 and the
/// bidirectional controls are escaped.
package enum TextEncoder {
  /// Appends valid UTF-8, escaped. At the first invalid byte it stops and says false; what it appended is then
  /// to be dropped.
  package static func append(_ text: UnsafeRawBufferPointer, to bytes: inout [UInt8]) -> Bool {
    var index = 0
    while index < text.count {
      let plain = plainRun(text, from: index)
      if plain > 0 {
        bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[index..<(index + plain)]))
        index += plain
        continue
      }
      guard case .scalar(let scalar, let length) = UTF8Check.scalar(text, at: index) else { return false }
      if mustEscape(scalar) {
        escape(scalar, to: &bytes)
      } else {
        bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[index..<(index + length)]))
      }
      index += length
    }
    return true
  }

  /// The number of bytes from an index on that are printable ASCII and neither quote nor backslash. Eight at a time:
  /// the high bit of a byte of the mask says that the byte is special.
  @inline(__always)
  private static func plainRun(_ text: UnsafeRawBufferPointer, from start: Int) -> Int {
    var index = start
    while index + 8 <= text.count {
      let word = UInt64(littleEndian: text.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      let special = specialBytes(word)
      if special != 0 { return index - start + special.trailingZeroBitCount / 8 }
      index += 8
    }
    while index < text.count, isPlain(text[index]) { index += 1 }
    return index - start
  }

  /// May also mark a byte above a special one, never one below: enough to find the first.
  @inline(__always)
  private static func specialBytes(_ word: UInt64) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let high: UInt64 = 0x8080_8080_8080_8080
    let control = (word &- 0x20 &* ones) & ~word
    let quote = word ^ 0x22 &* ones
    let backslash = word ^ 0x5C &* ones
    let delete = word ^ 0x7F &* ones
    let zero =
      ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | ((delete &- ones) & ~delete)
    return (control | zero | word) & high
  }

  @inline(__always)
  private static func isPlain(_ byte: UInt8) -> Bool {
    byte >= 0x20 && byte < 0x7F && byte != 0x22 && byte != 0x5C
  }

  private static func mustEscape(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0..<0x20, 0x22, 0x5C, 0x7F..<0xA0, 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }

  private static func escape(_ scalar: UInt32, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\\"))
    switch scalar {
    case 0x0A: bytes.append(UInt8(ascii: "n"))
    case 0x0D: bytes.append(UInt8(ascii: "r"))
    case 0x09: bytes.append(UInt8(ascii: "t"))
    case 0x22, 0x5C: bytes.append(UInt8(scalar))
    default:
      // Every escaped character is in the basic plane: four digits say it.
      bytes.append(UInt8(ascii: "u"))
      for shift in [12, 8, 4, 0] as [UInt32] {
        let digit = UInt8(scalar >> shift & 0xF)
        bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      }
    }
  }
}
