import Testing

@testable import Protocol

/// Lines out of bytes, however the bytes are cut.
struct LineFramerTests {
  private func lines(_ text: String, limit: Int = 16, cut: Int) -> [String] {
    var framer = LineFramer(limit: limit)
    var found: [String] = []
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let part = Array(rest.prefix(cut))
      rest = rest.dropFirst(cut)
      part.withUnsafeBytes { bytes in
        framer.feed(bytes) { line in
          switch line {
          case .line(let bytes, let number):
            found.append("\(number):" + String(decoding: bytes, as: UTF8.self))
          case .tooLong(let number): found.append("\(number)!")
          }
        }
      }
    }
    if let number = framer.end() { found.append("\(number)…") }
    return found
  }

  @Test(arguments: [1, 2, 3, 5, 7, 64])
  func anyCutGivesTheSameLines(cut: Int) {
    let text =
      "a\nbb\r\n\n  \n\u{1E}c\n0123456789abcdef\n0123456789abcdefg\nz\n0123456789abcdefghijklmnop\ny\nend"
    #expect(
      lines(text, cut: cut) == [
        "1:a", "2:bb", "5:c", "6:0123456789abcdef", "7!", "8:z", "9!", "10:y", "11…",
      ])
  }

  @Test func aLongLineIsToldBeforeItEnds() {
    #expect(lines(String(repeating: "x", count: 100), cut: 10) == ["1!"])
  }

  @Test func memoryIsBounded() {
    var framer = LineFramer(limit: 16)
    let junk = [UInt8](repeating: 0x78, count: 4096)
    var told = 0
    for _ in 0..<1000 { junk.withUnsafeBytes { framer.feed($0) { _ in told += 1 } } }
    #expect(told == 1)
  }
}
