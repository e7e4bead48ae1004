import Protocol

/// What making lines of output and reading lines of input costs by itself.
extension Bench {
  private static let plain = "the quick brown fox jumps over the lazy dog, and on it goes for a while\n"
  private static let foreign = "съешь же ещё этих мягких французских булок, да выпей чаю\n"

  func encoding() throws {
    for (what, encoding, pattern) in [
      ("ASCII as text", Encoding.text, Bench.plain), ("Cyrillic as text", .text, Bench.foreign),
      ("bytes as base64", .base64, Bench.plain),
    ] {
      let chunk = Bench.chunk(of: pattern)
      let line = StdioLine(container: "c", process: .initial, stream: .stdout, encoding: encoding)
      var bytes: [UInt8] = []
      time("encoding \(what)", chunk.count) {
        bytes.removeAll(keepingCapacity: true)
        _ = chunk.withUnsafeBytes { line.append($0, offset: 0, final: true, to: &bytes) }
      }
      let name = encoding == .base64 ? "base64" : "text"
      let parsed = try bytes.dropLast().withUnsafeBytes { try JSONParser.parse($0) }
      let command = JSONValue.object([
        "command": "stdio.write",
        "arguments": .object(["container": "c", name: parsed[name] ?? .null]),
      ]).encoded
      time("decoding \(what)", chunk.count) {
        let request = command.withUnsafeBytes { try? Request(line: $0) }
        _ = request.map { try? Commands.parse($0) }
      }
    }
  }

  private static func chunk(of pattern: String) -> [UInt8] {
    Array((0..<49_152 / pattern.utf8.count).map { _ in pattern.utf8 }.joined())
  }

  private func time(_ what: String, _ size: Int, _ work: () -> Void) {
    var samples = Samples()
    for _ in 0..<2000 { samples.measure(work) }
    say(single("\(what), MB/s", Double(size) / 1e3 / samples.median))
  }
}
