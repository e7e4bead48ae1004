/// What a line of JSON looks like from outside of its strings. Only they need care; whether brackets match is the parser's
/// concern.
struct LineOutline {
  /// Where values are strings of at least some length, without their quotes.
  private(set) var longValues: [Range<Int>] = []

  /// Fails where the nesting passes the limit.
  init(_ line: UnsafeRawBufferPointer, long: Int) throws(ProtocolError) {
    var depth = 0
    var index = 0
    // A key is left alone: the parser is to see those that stand there twice.
    var isValue = false
    while index < line.count {
      switch line[index] {
      case UInt8(ascii: "\""):
        let start = index + 1
        index = LineOutline.endOfString(line, from: start)
        if isValue, index < line.count, index - start >= long { longValues.append(start..<index) }
        isValue = false
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        if depth > Limits.depth {
          throw ProtocolError(.tooDeep, "nested more than \(Limits.depth) deep", position: index)
        }
        isValue = false
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        isValue = false
      case UInt8(ascii: ":"): isValue = true
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): break
      default: isValue = false
      }
      index += 1
    }
  }

  /// The index of the quote that ends a string, from a place inside it.
  private static func endOfString(_ line: UnsafeRawBufferPointer, from start: Int) -> Int {
    var index = start
    while true {
      index = ByteScan.first(line, from: index) {
        ByteScan.equal($0, UInt8(ascii: "\"")) | ByteScan.equal($0, UInt8(ascii: "\\"))
      }
      if index >= line.count || line[index] == UInt8(ascii: "\"") { return index }
      index += 2
    }
  }
}
