/// Base64 of RFC 4648 with padding.
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// Two characters for each 12 bits, so that three bytes cost two loads and two stores.
  private static let pairs: [UInt16] = (0..<4096).map { bits in
    UInt16(littleEndian: UInt16(alphabet[bits >> 6]) | UInt16(alphabet[bits & 63]) << 8)
  }

  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 0xFF, count: 256)
    for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
    return values
  }()

  package static func append(_ data: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
    let whole = data.count / 3
    let old = bytes.count
    let encoded = (data.count + 2) / 3 * 4
    // Grown at once and then written in place.
    bytes.reserveCapacity(old + encoded)
    bytes.append(contentsOf: repeatElement(UInt8(ascii: "="), count: encoded))
    bytes.withUnsafeMutableBytes { target in
      pairs.withUnsafeBufferPointer { pairs in
        for group in 0..<whole {
          let bits = Int(data[3 * group]) << 16 | Int(data[3 * group + 1]) << 8 | Int(data[3 * group + 2])
          target.storeBytes(of: pairs[bits >> 12], toByteOffset: old + 4 * group, as: UInt16.self)
          target.storeBytes(of: pairs[bits & 0xFFF], toByteOffset: old + 4 * group + 2, as: UInt16.self)
        }
        let tail = old + 4 * whole
        switch data.count - 3 * whole {
        case 1:
          target.storeBytes(of: pairs[Int(data[3 * whole]) << 4], toByteOffset: tail, as: UInt16.self)
        case 2:
          let bits = Int(data[3 * whole]) << 16 | Int(data[3 * whole + 1]) << 8
          target.storeBytes(of: pairs[bits >> 12], toByteOffset: tail, as: UInt16.self)
          target[tail + 2] = UInt8(truncatingIfNeeded: pairs[bits & 0xFFF].littleEndian)
        default: break
        }
      }
    }
  }

  /// Nil where it is not base64 to the letter: wrong length, a character outside the alphabet, padding in the middle,
  /// bits set that no byte holds.
  package static func decode(_ text: String) -> [UInt8]? {
    var text = text
    return text.withUTF8 { characters in
      guard characters.count % 4 == 0 else { return nil }
      let padding = characters.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
      var bytes: [UInt8] = []
      bytes.reserveCapacity(characters.count / 4 * 3)
      var bits: UInt32 = 0
      for (index, character) in characters.dropLast(padding).enumerated() {
        let value = values[Int(character)]
        if value == 0xFF { return nil }
        bits = bits << 6 | UInt32(value)
        if index % 4 == 3 {
          bytes.append(UInt8(bits >> 16 & 0xFF))
          bytes.append(UInt8(bits >> 8 & 0xFF))
          bytes.append(UInt8(bits & 0xFF))
          bits = 0
        }
      }
      switch padding {
      case 1:
        if bits & 0x3 != 0 { return nil }
        bytes.append(UInt8(bits >> 10 & 0xFF))
        bytes.append(UInt8(bits >> 2 & 0xFF))
      case 2:
        if bits & 0xF != 0 { return nil }
        bytes.append(UInt8(bits >> 4 & 0xFF))
      default: break
      }
      return bytes
    }
  }
}
