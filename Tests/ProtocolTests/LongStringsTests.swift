import Testing

@testable import Protocol

/// Long strings go around jansson, and nobody can tell.
struct LongStringsTests {
  private enum Outcome: Equatable {
    case members([String: JSONValue])
    case error(ErrorCode, position: Int?)
  }

  private func parse(_ line: String, long: Int) -> Outcome {
    var line = line
    return line.withUTF8 { bytes in
      do throws(ProtocolError) {
        return .members(try JSONParser.parseObject(UnsafeRawBufferPointer(bytes), long: long))
      } catch {
        return .error(error.code, position: error.position)
      }
    }
  }

  @Test(arguments: [
    #"{"a":"x\n\t\r\b\f\"\\\/é€😀\u0000\u00e9\u20AC\ud83d\uDE00 end"}"#,
    #"{"a":"x\ud83d"}"#, #"{"a":"x\ud83d\u0041"}"#, #"{"a":"x\ude00"}"#, #"{"a":"x\u12g4"}"#, #"{"a":"x\q"}"#,
    #"{"a":"x\u12"}"#, "{\"a\":\"x\u{1}\"}", #"{"a":"one","a":"two"}"#, #"{"a":"one","b":"two","b":3}"#,
    #"{"a":"one" "b":"two"}"#, #"{"a":"one","b":"two"]"#, #"{"a":"one","b":"tw"#, #"{"a":"one","b":"two"#,
    #"{"a":["one",{"b":"two"}],"c":"three"}"#, #"{"a" : "one" , "b":x"two","c":"three"}"#,
    #"{"a":"one","b":"two"} "three""#, #"{"a"::"one"}"#, #"{:"one":"two"}"#, #"{"a":"","b":""}"#,
  ])
  func theOutcomeIsTheSame(line: String) {
    #expect(parse(line, long: 0) == parse(line, long: .max))
  }

  @Test func linesAtRandomHaveTheSameOutcome() {
    let parts = [
      "{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"a\":", "\"b\":\"", #"\n"#, #"\u00"#, "41", #"\ud83d"#,
      #"\ude00"#,
      "\\", "x", "é", " ", "\u{1}", "1", "null",
    ]
    for _ in 0..<20000 {
      let line = "{\"c\":\"" + (0..<Int.random(in: 0..<12)).map { _ in parts.randomElement() ?? "" }.joined()
      let (without, with) = (parse(line, long: .max), parse(line, long: 0))
      #expect(with == without, "\(line)")
    }
  }

  @Test func theUsualLengthIsTakenToo() throws {
    let text = String(repeating: "0123456789abcdé\n\u{1F600}", count: 100)
    var line = JSONWriter()
    line.value(
      .object(["command": "x", "arguments": .object(["text": .string(text), "z": [.string(text)]])]))
    let request = try line.bytes.withUnsafeBytes { try Request(line: $0) }
    #expect(request.arguments == ["text": .string(text), "z": [.string(text)]])
  }

  /// What a mark looks like is another string's right, too.
  @Test func aStringLikeAMarkStaysItself() {
    let mark = String(repeating: "-", count: 30) + "-0"
    #expect(parse(#"{"a":"\#(mark)","b":"x"}"#, long: 0) == .members(["a": .string(mark), "b": "x"]))
  }
}
