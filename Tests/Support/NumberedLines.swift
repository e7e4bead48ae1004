/// Output of which it is known what stands at an offset: `0000001` and so on, 8 bytes a line.
package enum NumberedLines {
  /// A shell command that prints lines.
  package static func script(_ lines: ClosedRange<Int>) -> String {
    "awk 'BEGIN { for (i = \(lines.lowerBound); i <= \(lines.upperBound); i++) printf \"%07d\\n\", i }'"
  }

  /// The bytes of a range of offsets.
  package static func bytes(_ range: Range<Int>) -> [UInt8] {
    var bytes: [UInt8] = []
    for line in range.lowerBound / 8 + 1...max(range.lowerBound, range.upperBound - 1) / 8 + 1 {
      bytes += "\(10_000_000 + line)\n".utf8.dropFirst()
    }
    return Array(bytes.dropFirst(range.lowerBound % 8).prefix(range.count))
  }
}
