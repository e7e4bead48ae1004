/// `stdio.data` lines: the hot path. What does not change from chunk to chunk is encoded once.
package struct StdioLine: Sendable {
  private let head: [UInt8]
  private let encoding: Encoding

  package init(container: String, process: ProcessName, stream: StreamName, encoding: Encoding) {
    var bytes: [UInt8] = []
    ServerLine.write(into: &bytes) { writer in
      writer.field("event", EventName.stdioData.rawValue)
      writer.field("container", container)
      writer.field("process", process.description)
      writer.field("stream", stream.rawValue)
      writer.field("offset", 0)
    }
    // Without `0}` and LF.
    head = Array(bytes.dropLast(3))
    self.encoding = encoding
  }

  /// Appends a line for a chunk.
  ///
  /// - Parameter final: no more will come: a character that has only begun is then not held back.
  /// - Returns: how many bytes of the chunk the line holds. Up to 3 at its end stay out where a UTF-8 character is
  ///   split; 0, and no line, where the chunk is nothing but such a beginning.
  package func append(
    _ chunk: UnsafeRawBufferPointer, offset: UInt64, final: Bool, to bytes: inout [UInt8]
  ) -> Int {
    switch encoding {
    case .base64:
      appendBase64(chunk, offset: offset, to: &bytes)
      return chunk.count
    case .auto, .text:
      let held = final ? 0 : UTF8Check.incompleteTail(chunk)
      let whole = UnsafeRawBufferPointer(rebasing: chunk.dropLast(held))
      if whole.isEmpty { return 0 }
      let start = bytes.count
      begin(",\"text\":\"", offset: offset, to: &bytes)
      if TextEncoder.append(whole, to: &bytes) {
        end(&bytes)
        return whole.count
      }
      bytes.removeLast(bytes.count - start)
      if encoding == .text {
        appendRepaired(whole, offset: offset, to: &bytes)
        return whole.count
      }
      appendBase64(chunk, offset: offset, to: &bytes)
      return chunk.count
    }
  }

  private func appendBase64(_ chunk: UnsafeRawBufferPointer, offset: UInt64, to bytes: inout [UInt8]) {
    begin(",\"base64\":\"", offset: offset, to: &bytes)
    Base64.append(chunk, to: &bytes)
    end(&bytes)
  }

  private func appendRepaired(_ chunk: UnsafeRawBufferPointer, offset: UInt64, to bytes: inout [UInt8]) {
    begin(",\"text\":\"", offset: offset, to: &bytes)
    var repaired = String(decoding: chunk, as: UTF8.self)
    repaired.withUTF8 { _ = TextEncoder.append(UnsafeRawBufferPointer($0), to: &bytes) }
    end(&bytes)
  }

  /// Everything up to the chunk; `key` is the last member's with its punctuation.
  private func begin(_ key: StaticString, offset: UInt64, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: head)
    appendDecimal(offset, to: &bytes)
    bytes.append(contentsOf: UnsafeBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount))
  }

  private func end(_ bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: "}"))
    bytes.append(0x0A)
  }

  private func appendDecimal(_ value: UInt64, to bytes: inout [UInt8]) {
    var place: UInt64 = 1
    while value / place >= 10 { place *= 10 }
    while place > 0 {
      bytes.append(UInt8(ascii: "0") + UInt8(value / place % 10))
      place /= 10
    }
  }
}
