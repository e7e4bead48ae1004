/// JSON text from which long values are taken, with a mark in the place of each, for jansson reads strings a byte at a
/// time and a client's bytes for stdin are one.
///
/// Only what is beyond doubt is taken: everything else is left for jansson to judge.
struct LongStrings {
  /// From so many bytes on a string is long.
  static let length = 512

  /// The text that is left.
  private(set) var text: [UInt8] = []
  private var strings: [String: String] = [:]
  /// Where marks end in what is left, and how much less there is of it than of the text up to there.
  private var cuts: [(end: Int, missing: Int)] = []
  /// No client can know it.
  private let secret = UInt64.random(in: .min ... .max)

  /// - Parameter ranges: strings without their quotes, in order; what is in them is UTF-8.
  init(_ line: UnsafeRawBufferPointer, _ ranges: [Range<Int>]) {
    var start = 0
    for range in ranges {
      guard let string = JSONEscapes.decode(UnsafeRawBufferPointer(rebasing: line[range])) else { continue }
      let mark = mark(strings.count)
      strings[mark] = string
      text += line[start..<range.lowerBound]
      text += mark.utf8
      start = range.upperBound
      cuts.append((text.count, start - text.count))
    }
    text += line[start...]
  }

  /// Longer than what jansson quotes in its errors.
  private func mark(_ number: Int) -> String {
    let digits = String(secret, radix: 16) + "-" + String(number, radix: 16)
    return String(repeating: "-", count: max(0, 32 - digits.utf8.count)) + digits
  }

  /// What a mark stands for; nil for what is none.
  subscript(_ mark: String) -> String? { strings[mark] }

  /// The place in the whole text of a place in what is left.
  func position(_ position: Int) -> Int {
    position + (cuts.last { $0.end <= position }?.missing ?? 0)
  }
}
