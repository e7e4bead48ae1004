internal import CVector

/// Base64 of RFC 4648 with padding.
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// Two characters for each 12 bits, so that three bytes cost two loads and two stores.
  private static let pairs: [UInt16] = (0..<4096).map { bits in
    UInt16(littleEndian: UInt16(alphabet[bits >> 6]) | UInt16(alphabet[bits & 63]) << 8)
  }

  private static let padding = UInt8(ascii: "=")

  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 0xFF, count: 256)
    for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
    return values
  }()

  package static func append(_ data: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
    let encoded = (data.count + 2) / 3 * 4
    bytes.append(addingCapacity: encoded) { span in
      span.withUnsafeMutableBufferPointer { buffer, count in
        guard let start = buffer.baseAddress else { return }
        encode(data, to: UnsafeMutableRawPointer(start + count))
        count += encoded
      }
    }
  }

  /// - Returns: how many groups of 3 bytes are done.
  private static func encodeMany(_ data: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) -> Int {
    guard let start = data.baseAddress else { return 0 }
    return cvector_base64(
      target.assumingMemoryBound(to: UInt8.self), start.assumingMemoryBound(to: UInt8.self), data.count) / 3
  }

  private static func encode(_ data: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) {
    pairs.withUnsafeBufferPointer { pairs in
      let whole = data.count / 3
      for group in encodeMany(data, to: target)..<whole {
        let bits = Int(data[3 * group]) << 16 | Int(data[3 * group + 1]) << 8 | Int(data[3 * group + 2])
        target.storeBytes(of: pairs[bits >> 12], toByteOffset: 4 * group, as: UInt16.self)
        target.storeBytes(of: pairs[bits & 0xFFF], toByteOffset: 4 * group + 2, as: UInt16.self)
      }
      let tail = data.count - 3 * whole
      if tail == 0 { return }
      let bits = Int(data[3 * whole]) << 16 | (tail == 2 ? Int(data[3 * whole + 1]) << 8 : 0)
      target.storeBytes(of: pairs[bits >> 12], toByteOffset: 4 * whole, as: UInt16.self)
      let third = tail == 2 ? alphabet[bits >> 6 & 63] : padding
      target.storeBytes(of: third, toByteOffset: 4 * whole + 2, as: UInt8.self)
      target.storeBytes(of: padding, toByteOffset: 4 * whole + 3, as: UInt8.self)
    }
  }

  /// Nil where it is not base64 to the letter: wrong length, a character outside the alphabet, padding in the middle,
  /// bits set that no byte holds.
  package static func decode(_ text: String) -> [UInt8]? {
    var text = text
    return text.withUTF8 { characters in
      guard characters.count % 4 == 0, let last = characters.last else {
        return characters.isEmpty ? [] : nil
      }
      let padded = last != padding ? 0 : characters[characters.count - 2] == padding ? 2 : 1
      let whole = (characters.count - (padded > 0 ? 4 : 0)) / 4
      var invalid: UInt8 = 0
      var bytes: [UInt8] = []
      bytes.reserveCapacity(characters.count / 4 * 3)
      bytes.append(addingCapacity: 3 * whole) { span in
        let done = span.withUnsafeMutableBufferPointer { buffer, count in
          let done = decodeMany(
            UnsafeBufferPointer(rebasing: characters[..<(4 * whole)]), to: buffer.baseAddress)
          count = 3 * done
          return done
        }
        values.withUnsafeBufferPointer { values in
          for group in done..<whole {
            let (a, b) = (values[Int(characters[4 * group])], values[Int(characters[4 * group + 1])])
            let (c, d) = (values[Int(characters[4 * group + 2])], values[Int(characters[4 * group + 3])])
            // Values have 6 bits; the mark of what is none has all 8.
            invalid |= a | b | c | d
            span.append(a << 2 | b >> 4)
            span.append(b << 4 | c >> 2)
            span.append(c << 6 | d)
          }
        }
      }
      if invalid > 63 { return nil }
      if padded > 0 {
        guard let tail = decodeTail(characters.suffix(4).dropLast(padded)) else { return nil }
        bytes += tail
      }
      return bytes
    }
  }

  /// - Returns: how many groups of 4 characters are done.
  private static func decodeMany(
    _ characters: UnsafeBufferPointer<UInt8>, to target: UnsafeMutablePointer<UInt8>?
  ) -> Int {
    guard let target, let start = characters.baseAddress else { return 0 }
    return cvector_unbase64(target, start, characters.count) / 4
  }

  /// The 2 or 3 characters before padding.
  private static func decodeTail(_ characters: some Collection<UInt8>) -> [UInt8]? {
    let digits = characters.map { values[Int($0)] }
    guard digits.allSatisfy({ $0 < 64 }) else { return nil }
    if digits.count == 2 { return digits[1] & 0xF == 0 ? [digits[0] << 2 | digits[1] >> 4] : nil }
    guard digits[2] & 0x3 == 0 else { return nil }
    return [digits[0] << 2 | digits[1] >> 4, digits[1] << 4 | digits[2] >> 2]
  }
}
