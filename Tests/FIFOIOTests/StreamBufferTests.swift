import Testing

@testable import FIFOIO

/// What a stream's buffer keeps, byte by byte.
struct StreamBufferTests {
  private func byte(_ offset: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 31 &+ offset >> 8) }

  private func append(_ count: Int, to buffer: inout StreamBuffer) {
    let start = buffer.end
    let bytes = (0..<count).map { byte(start + UInt64($0)) }
    bytes.withUnsafeBytes { buffer.append($0) }
  }

  private func isRight(_ buffer: borrowing StreamBuffer) -> Bool {
    let all = buffer.bytes(from: buffer.start, atMost: .max)
    let start = buffer.start
    return all.count == buffer.count && all.indices.allSatisfy { all[$0] == byte(start + UInt64($0)) }
  }

  @Test(arguments: [1, 7, 100, 999, 1000]) func theNewestBytesStay(piece: Int) {
    var buffer = StreamBuffer(limit: 1000)
    for round in 1...200 {
      append(piece, to: &buffer)
      #expect(buffer.end == UInt64(round * piece))
      #expect(buffer.count >= min(1000, round * piece))
      #expect(buffer.count <= 1500)
      let right = isRight(buffer)
      #expect(right)
    }
  }

  @Test func piecesOfAnySize() {
    var buffer = StreamBuffer(limit: 5000)
    var size = 1
    for _ in 0..<500 {
      size = size * 7919 % 4999 + 1
      append(size, to: &buffer)
      let right = isRight(buffer)
      #expect(right)
      #expect(buffer.count >= min(5000, Int(buffer.end)))
    }
  }

  @Test func aPartByItsOffset() {
    var buffer = StreamBuffer(limit: 100)
    append(50, to: &buffer)
    let part = buffer.bytes(from: 10, atMost: 5)
    #expect(Array(part) == (10..<15).map { byte($0) })
    let (last, none) = (buffer.bytes(from: 48, atMost: 100).count, buffer.bytes(from: 50, atMost: 100).count)
    #expect(last == 2 && none == 0)
    buffer.drop(before: 20)
    let gone = buffer.bytes(from: 10, atMost: 5).count
    #expect(gone == 0 && buffer.start == 20)
    let right = isRight(buffer)
    #expect(right)
    buffer.drop(before: 1000)
    #expect(buffer.count == 0 && buffer.start == 50 && buffer.end == 50)
    append(10, to: &buffer)
    #expect(buffer.start == 50 && buffer.end == 60)
  }
}
