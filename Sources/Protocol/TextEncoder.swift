internal import CVector

/// Text as the inside of a JSON string that is safe to show on a terminal: C0, DEL, C1, U+2028, U+2029 and the
/// bidirectional controls are escaped.
package enum TextEncoder {
  /// Appends valid UTF-8, escaped. At the first invalid byte it stops and says false; what it appended is then
  /// to be dropped.
  package static func append(_ text: UnsafeRawBufferPointer, to bytes: inout [UInt8]) -> Bool {
    var index = 0
    while index < text.count {
      // A character of the block's end may reach beyond it by 3 bytes.
      let end = min(index + block, text.count)
      var valid = true
      bytes.append(addingCapacity: (end - index + 3) * worstCase + 8) { span in
        span.withUnsafeMutableBufferPointer { buffer, count in
          guard let start = buffer.baseAddress else { return }
          var output = Output(next: start + count)
          valid = encode(text, from: &index, to: end, into: &output)
          count = output.next - start
        }
      }
      if !valid { return false }
    }
    return true
  }

  /// Space is made for this much text at a time: enough to forget the cost, little enough to be the most that stays
  /// unused.
  private static let block = 4096
  /// `\u0000` for one byte.
  private static let worstCase = 6

  /// Writes to where there is room, without asking.
  private struct Output {
    var next: UnsafeMutablePointer<UInt8>

    @inline(__always)
    mutating func put(_ byte: UInt8) {
      next.pointee = byte
      next += 1
    }
  }

  private static func encode(
    _ text: UnsafeRawBufferPointer, from index: inout Int, to end: Int, into output: inout Output
  ) -> Bool {
    while index < end {
      let copied = copyText(text, from: index, to: end, into: output.next)
      index += copied
      output.next += copied
      // Up to 8 bytes are written past what counts; the next ones go over them.
      while index + 8 <= end {
        let word = text.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        UnsafeMutableRawPointer(output.next).storeBytes(of: word, as: UInt64.self)
        let special = specialBytes(UInt64(littleEndian: word))
        let plain = special == 0 ? 8 : special.trailingZeroBitCount / 8
        index += plain
        output.next += plain
        if plain < 8 { break }
      }
      if index == end { break }
      if isPlain(text[index]) {
        output.put(text[index])
        index += 1
        continue
      }
      guard case .scalar(let scalar, let length) = UTF8Check.scalar(text, at: index) else { return false }
      if mustEscape(scalar) {
        escape(scalar, to: &output)
      } else {
        for offset in 0..<length { output.put(text[index + offset]) }
      }
      index += length
    }
    return true
  }

  /// As many as the processor has an instruction for; the rest is done one by one.
  @inline(__always)
  private static func copyText(
    _ text: UnsafeRawBufferPointer, from index: Int, to end: Int, into target: UnsafeMutablePointer<UInt8>
  ) -> Int {
    guard let start = text.baseAddress else { return 0 }
    return cvector_copy_text(target, start.assumingMemoryBound(to: UInt8.self) + index, end - index)
  }

  /// Everything but printable ASCII without quote and backslash.
  @inline(__always)
  private static func specialBytes(_ word: UInt64) -> UInt64 {
    ByteScan.less(word, than: 0x20) | ByteScan.equal(word, 0x22) | ByteScan.equal(word, 0x5C)
      | ByteScan.equal(word, 0x7F) | word & ByteScan.high
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

  private static func escape(_ scalar: UInt32, to output: inout Output) {
    output.put(UInt8(ascii: "\\"))
    switch scalar {
    case 0x0A: output.put(UInt8(ascii: "n"))
    case 0x0D: output.put(UInt8(ascii: "r"))
    case 0x09: output.put(UInt8(ascii: "t"))
    case 0x22, 0x5C: output.put(UInt8(scalar))
    default:
      // Every escaped character is in the basic plane: four digits say it.
      output.put(UInt8(ascii: "u"))
      for shift in [12, 8, 4, 0] as [UInt32] {
        let digit = UInt8(scalar >> shift & 0xF)
        output.put(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      }
    }
  }
}
