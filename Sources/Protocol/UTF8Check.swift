internal import CVector

/// UTF-8 as Unicode defines it: no surrogates, no overlong forms, nothing over U+10FFFF.
package enum UTF8Check {
  /// One step of reading.
  package enum Scalar: Equatable {
    /// A whole character and the number of its bytes.
    case scalar(UInt32, length: Int)
    /// The text ends inside a character that may still become valid.
    case incomplete
    case invalid
  }

  /// The index of the first byte that is not part of a valid character.
  package static func firstInvalid(_ bytes: UnsafeRawBufferPointer) -> Int? {
    guard let start = bytes.baseAddress else { return nil }
    var index = cvector_utf8(start.assumingMemoryBound(to: UInt8.self), bytes.count)
    while index < bytes.count {
      index = ByteScan.first(bytes, from: index) { $0 & ByteScan.high }
      if index == bytes.count { return nil }
      guard case .scalar(_, let length) = scalar(bytes, at: index) else { return index }
      index += length
    }
    return nil
  }

  /// How many bytes at the end belong to a character that has only begun, at most 3.
  package static func incompleteTail(_ bytes: UnsafeRawBufferPointer) -> Int {
    for length in 1...3 where length <= bytes.count {
      let index = bytes.count - length
      if bytes[index] & 0xC0 == 0x80 { continue }
      return scalar(bytes, at: index) == .incomplete ? length : 0
    }
    return 0
  }

  /// The character that starts at an index.
  @inline(__always)
  package static func scalar(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Scalar {
    let first = bytes[index]
    if first < 0x80 { return .scalar(UInt32(first), length: 1) }
    let length: Int
    var value: UInt32
    switch first {
    case 0xC2...0xDF: (length, value) = (2, UInt32(first & 0x1F))
    case 0xE0...0xEF: (length, value) = (3, UInt32(first & 0x0F))
    case 0xF0...0xF4: (length, value) = (4, UInt32(first & 0x07))
    default: return .invalid
    }
    for offset in 1..<length {
      guard index + offset < bytes.count else { return .incomplete }
      let byte = bytes[index + offset]
      guard byte & 0xC0 == 0x80 else { return .invalid }
      // The second byte alone decides on overlong forms, surrogates and the upper end.
      if offset == 1 {
        switch (first, byte) {
        case (0xE0, ..<0xA0), (0xED, 0xA0...), (0xF0, ..<0x90), (0xF4, 0x90...): return .invalid
        default: break
        }
      }
      value = value << 6 | UInt32(byte & 0x3F)
    }
    return .scalar(value, length: length)
  }
}
