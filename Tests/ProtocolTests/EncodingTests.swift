import Testing

@testable import Protocol

/// Output as lines, and base64 both ways.
struct EncodingTests {
  private func line(_ bytes: [UInt8], _ encoding: Encoding = .auto, final: Bool = false) -> (String, Int) {
    var buffer: [UInt8] = []
    let line = StdioLine(container: "c", process: .initial, stream: .stdout, encoding: encoding)
    let taken = bytes.withUnsafeBytes { line.append($0, offset: 7, final: final, to: &buffer) }
    return (String(decoding: buffer, as: UTF8.self), taken)
  }

  private let head = #"{"event":"stdio.data","container":"c","process":"init","stream":"stdout","offset":7,"#

  @Test func textIsEscapedForATerminal() {
    let text = "a\"\\\n\t\r\u{1B}\u{7F}\u{85}\u{2028}\u{202E}é€😀z"
    let expected = #"a\"\\\n\t\r\u001b\u007f\u0085\u2028\u202eé€😀z"#
    #expect(line(Array(text.utf8)) == (head + "\"text\":\"\(expected)\"}\n", text.utf8.count))
  }

  /// The fast paths look at eight and at 32 bytes at a time: each special byte at each place.
  @Test func specialBytesAreFoundAtEveryPlace() {
    for special in [0x00, 0x1F, 0x22, 0x5C, 0x7F] as [UInt8] {
      for place in 0..<80 {
        var bytes = [UInt8](repeating: 0x61, count: 80)
        bytes[place] = special
        var escaped: [UInt8] = []
        #expect(bytes.withUnsafeBytes { TextEncoder.append($0, to: &escaped) })
        let tail = escaped.count - (80 - place - 1)
        #expect(escaped[..<place].allSatisfy { $0 == 0x61 } && escaped[place] == 0x5C)
        #expect(escaped[tail...].allSatisfy { $0 == 0x61 })
      }
    }
  }

  @Test func aCharacterThatHasOnlyBegunIsHeldBack() {
    #expect(line([0x61, 0xE2, 0x82]) == (head + "\"text\":\"a\"}\n", 1))
    #expect(line([0xF0, 0x9F]) == ("", 0))
    #expect(line([0x61, 0xE2, 0x82], final: true) == (head + "\"base64\":\"YeKC\"}\n", 3))
  }

  @Test func whatIsNotUTF8IsBase64() {
    for bytes in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80]] as [[UInt8]] {
      #expect(line(bytes).0.contains("base64"))
      #expect(line(bytes, .text).0.contains("\u{FFFD}"))
    }
    #expect(line([0x61], .base64).0 == head + "\"base64\":\"YQ==\"}\n")
  }

  /// A character of the tail may reach over the end of what is looked at together.
  @Test func charactersAreKeptAtEveryPlace() {
    for character in ["é", "€", "😀"] {
      for place in 0..<70 {
        let text = String(repeating: "a", count: place) + character + String(repeating: "b", count: 40)
        #expect(line(Array(text.utf8)).0 == head + "\"text\":\"\(text)\"}\n")
      }
    }
  }

  private static let broken: [[UInt8]] = [
    [0x80], [0xC2], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xE2, 0x82], [0xED, 0xA0, 0x80],
    [0xF0, 0x8F, 0xBF, 0xBF], [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80],
    [0xFF],
  ]

  @Test func theFirstInvalidByteIsFoundAtEveryPlace() {
    for broken in Self.broken {
      for place in 0..<70 {
        let bytes = [UInt8](repeating: 0x61, count: place) + broken + [UInt8](repeating: 0x62, count: 64)
        #expect(bytes.withUnsafeBytes(UTF8Check.firstInvalid) == Self.firstInvalid(bytes), "\(bytes)")
      }
    }
  }

  /// Whatever bytes come, the fast paths say what a slow reading of each character says.
  @Test func textIsEncodedAsCharacterByCharacter() {
    let pieces: [[UInt8]] =
      [
        "a", "b ", "\"", "\\", "\n", "\u{7F}", "\u{80}", "\u{9F}", "\u{A0}", "é", "я", "\u{61B}", "\u{61C}",
        "\u{61D}",
      ]
      .map { Array($0.utf8) }
      + [
        "\u{7FF}", "\u{800}", "\u{200D}", "\u{200E}", "\u{2010}", "\u{2027}", "\u{2028}", "\u{202E}",
        "\u{202F}",
      ]
      .map { Array($0.utf8) }
      + [
        "€", "\u{2065}", "\u{2066}", "\u{2069}", "\u{206A}", "\u{D7FF}", "\u{E000}", "\u{FFFF}", "😀",
        "\u{10FFFF}",
      ]
      .map { Array($0.utf8) }
    var random = SystemRandomNumberGenerator()
    for round in 0..<20_000 {
      var bytes: [UInt8] = []
      for _ in 0..<Int.random(in: 1...60, using: &random) {
        bytes += Bool.random() ? [0x61, 0x62, 0x63] : pieces.randomElement(using: &random) ?? []
      }
      if round % 3 == 0 {
        bytes.insert(
          contentsOf: Self.broken[round / 3 % Self.broken.count], at: Int.random(in: 0...bytes.count))
      }
      var encoded: [UInt8] = []
      let isValid = bytes.withUnsafeBytes { TextEncoder.append($0, to: &encoded) }
      let text = String(validating: bytes, as: UTF8.self)
      #expect(isValid == (text != nil), "\(bytes)")
      #expect(bytes.withUnsafeBytes(UTF8Check.firstInvalid) == Self.firstInvalid(bytes), "\(bytes)")
      if isValid, let text {
        #expect(String(decoding: encoded, as: UTF8.self) == Self.escaped(text), "\(bytes)")
      }
    }
  }

  private static func firstInvalid(_ bytes: [UInt8]) -> Int? {
    var index = 0
    while index < bytes.count {
      let scalar = bytes.withUnsafeBytes { UTF8Check.scalar($0, at: index) }
      guard case .scalar(_, let length) = scalar else { return index }
      index += length
    }
    return nil
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x0A: result += "\\n"
      case 0x22, 0x5C: result += "\\\(scalar)"
      case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  @Test func base64GoesBothWays() {
    for count in 0..<200 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
      var encoded: [UInt8] = []
      bytes.withUnsafeBytes { Base64.append($0, to: &encoded) }
      #expect(Base64.decode(String(decoding: encoded, as: UTF8.self)) == bytes)
    }
    for bad in ["A", "AA", "AAA", "A===", "AA=A", "AB==", "AAB=", "AA A", "====", "éAA"] {
      #expect(Base64.decode(bad) == nil, "\(bad)")
    }
  }

  /// The fast path looks at 32 characters at a time: each byte in the first, the second and the slow ones.
  @Test func whatIsNoBase64IsFoundAtEveryPlace() {
    let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    for place in 0..<76 {
      for byte in UInt8.min...UInt8.max {
        var characters = [UInt8](repeating: 0x61, count: 76)
        for (offset, part) in String(Unicode.Scalar(byte)).utf8.enumerated() where place + offset < 76 {
          characters[place + offset] = part
        }
        let text = String(decoding: characters, as: UTF8.self)
        let isPadding = place == 75 && byte == UInt8(ascii: "=")
        // "aaa=" would end with bits that no byte holds.
        #expect(
          (Base64.decode(text) != nil) == (alphabet.contains(byte) && !isPadding), "\(byte) at \(place)")
      }
    }
  }

  @Test func everyCommandHasItsOwnName() {
    #expect(Set(Commands.all.map { $0.name }).count == Commands.all.count)
  }

  @Test func identifiersFollowContainerdsRule() {
    for good in ["a", "A1", "a.b", "a_b-c", String(repeating: "x", count: 76)] {
      #expect(Identifier.isValid(good), "\(good)")
    }
    for bad in ["", "-a", "a-", "a--b", "a._b", "a/b", "..", "a b", "ä", String(repeating: "x", count: 77)] {
      #expect(!Identifier.isValid(bad), "\(bad)")
    }
  }

  @Test func signalsHaveNamesAndNumbers() {
    #expect(Signal.parse("TERM") == 15 && Signal.parse("sigkill") == 9 && Signal.parse("9") == 9)
    #expect(Signal.parse(64) == 64 && Signal.parse("RTMIN+1") == 35)
    #expect(
      Signal.parse(0) == nil && Signal.parse(65) == nil && Signal.parse("NOPE") == nil
        && Signal.parse(true) == nil)
  }
}
