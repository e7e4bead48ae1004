/// What a JSON string stands for.
enum JSONEscapes {
  /// - Parameter text: what is between the quotes, UTF-8.
  /// - Returns: nil where it is not well formed.
  static func decode(_ text: UnsafeRawBufferPointer) -> String? {
    var isWellFormed = true
    let string = String(unsafeUninitializedCapacity: text.count) { target in
      let count = decode(text, to: UnsafeMutableRawBufferPointer(target))
      isWellFormed = count != nil
      return count ?? 0
    }
    return isWellFormed ? string : nil
  }

  /// What comes out is never longer than what goes in.
  private static func decode(_ text: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) -> Int?
  {
    var (read, written) = (0, 0)
    while true {
      let next = ByteScan.first(text, from: read) {
        ByteScan.less($0, than: 0x20) | ByteScan.equal($0, UInt8(ascii: "\\"))
      }
      let plain = UnsafeRawBufferPointer(rebasing: text[read..<next])
      UnsafeMutableRawBufferPointer(rebasing: target[written...]).copyMemory(from: plain)
      written += plain.count
      if next == text.count { return written }
      guard let (scalar, end) = escape(text, at: next) else { return nil }
      for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
        target[written] = byte
        written += 1
      }
      read = end
    }
  }

  /// The character that an escape stands for, and where it ends.
  private static func escape(_ text: UnsafeRawBufferPointer, at start: Int) -> (Unicode.Scalar, Int)? {
    guard text[start] == UInt8(ascii: "\\"), start + 1 < text.count else { return nil }
    let end = start + 2
    switch text[start + 1] {
    case UInt8(ascii: "n"): return ("\n", end)
    case UInt8(ascii: "t"): return ("\t", end)
    case UInt8(ascii: "r"): return ("\r", end)
    case UInt8(ascii: "b"): return ("\u{8}", end)
    case UInt8(ascii: "f"): return ("\u{C}", end)
    case let byte where "\"\\/".utf8.contains(byte): return (Unicode.Scalar(byte), end)
    case UInt8(ascii: "u"): break
    default: return nil
    }
    guard let first = hexadecimal(text, at: end) else { return nil }
    if let scalar = Unicode.Scalar(first) { return (scalar, end + 4) }
    // Half of a character that takes two.
    guard UTF16.isLeadSurrogate(UInt16(first)), end + 6 <= text.count, text[end + 4] == UInt8(ascii: "\\"),
      text[end + 5] == UInt8(ascii: "u"), let second = hexadecimal(text, at: end + 6),
      UTF16.isTrailSurrogate(UInt16(second)),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    else { return nil }
    return (scalar, end + 10)
  }

  /// Four digits.
  private static func hexadecimal(_ text: UnsafeRawBufferPointer, at start: Int) -> UInt32? {
    guard start + 4 <= text.count else { return nil }
    var value: UInt32 = 0
    for byte in text[start..<start + 4] {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte & 0xF)
      case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"):
        value = value << 4 | UInt32(byte & 0xF + 9)
      default: return nil
      }
    }
    return value
  }
}
