/// Finds bytes eight at a time. A mask has the high bit of a byte set where that byte is one that is looked for; it may
/// also mark a byte above a marked one, never one below: enough to find the first.
enum ByteScan {
  private static let ones: UInt64 = 0x0101_0101_0101_0101
  static let high: UInt64 = 0x8080_8080_8080_8080

  @inline(__always)
  static func equal(_ word: UInt64, _ byte: UInt8) -> UInt64 {
    let zero = word ^ UInt64(byte) &* ones
    return (zero &- ones) & ~zero & high
  }

  @inline(__always)
  static func less(_ word: UInt64, than limit: UInt8) -> UInt64 {
    (word &- UInt64(limit) &* ones) & ~word & high
  }

  /// The index of the first byte that a mask marks, from a start on; the end where there is none.
  @inline(__always)
  static func first(
    _ bytes: UnsafeRawBufferPointer, from start: Int, _ mask: (UInt64) -> UInt64
  ) -> Int {
    var index = start
    while index + 8 <= bytes.count {
      let found = mask(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
      if found != 0 { return index + found.trailingZeroBitCount / 8 }
      index += 8
    }
    // A byte repeated in all places is marked in the lowest if it is at all.
    while index < bytes.count, mask(UInt64(bytes[index]) &* ones) & 0x80 == 0 { index += 1 }
    return index
  }

  static func contains(_ byte: UInt8, in bytes: UnsafeRawBufferPointer) -> Bool {
    first(bytes, from: 0) { equal($0, byte) } < bytes.count
  }
}
