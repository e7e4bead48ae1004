import Protocol

/// What making lines of output costs by itself.
extension Bench {
  func encoding() throws {
    let size = 49_152
    let plain = Array("the quick brown fox jumps over the lazy dog, and on it goes for a while\n".utf8)
    let foreign = Array("съешь же ещё этих мягких французских булок, да выпей чаю\n".utf8)
    for (what, encoding, pattern) in [
      ("ASCII as text", Encoding.text, plain), ("Cyrillic as text", .text, foreign),
      ("bytes as base64", .base64, plain),
    ] {
      let chunk = Array((0..<size / pattern.count).map { _ in pattern }.joined())
      let line = StdioLine(container: "c", process: .initial, stream: .stdout, encoding: encoding)
      var (samples, bytes): (Samples, [UInt8]) = (Samples(), [])
      for _ in 0..<2000 {
        bytes.removeAll(keepingCapacity: true)
        samples.measure {
          _ = chunk.withUnsafeBytes { line.append($0, offset: 0, final: true, to: &bytes) }
        }
      }
      say(single("encoding \(what), MB/s", Double(chunk.count) / 1e3 / samples.median))
    }
  }
}
