import Glibc
import Testing

@testable import FIFOIO

/// What a stream's buffer keeps, byte by byte.
struct StreamBufferTests {
  private func byte(_ offset: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 31 &+ offset >> 8) }

  private func append(_ count: Int, to buffer: borrowing StreamBuffer) throws {
    let start = buffer.end
    let bytes = (0..<count).map { byte(start + UInt64($0)) }
    try bytes.withUnsafeBytes { try buffer.append($0) }
  }

  private func isRight(_ buffer: borrowing StreamBuffer) -> Bool {
    let all = buffer.bytes(from: buffer.start, atMost: .max)
    let start = buffer.start
    return all.count == buffer.count && all.indices.allSatisfy { all[$0] == byte(start + UInt64($0)) }
  }

  @Test(arguments: [1, 7, 100, 999, 1000]) func theNewestBytesStay(piece: Int) throws {
    let buffer = try StreamBuffer(limit: 1000)
    for round in 1...200 {
      try append(piece, to: buffer)
      #expect(buffer.end == UInt64(round * piece))
      #expect(buffer.count >= min(1000, round * piece))
      #expect(buffer.count <= 1000 + 200 << 10)
      let right = isRight(buffer)
      #expect(right)
    }
  }

  @Test func piecesOfAnySize() throws {
    let buffer = try StreamBuffer(limit: 5000)
    var size = 1
    for _ in 0..<500 {
      size = size * 7919 % 4999 + 1
      try append(size, to: buffer)
      let right = isRight(buffer)
      #expect(right)
      #expect(buffer.count >= min(5000, Int(buffer.end)))
    }
  }

  @Test func aPartByItsOffset() throws {
    let buffer = try StreamBuffer(limit: 100)
    try append(50, to: buffer)
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
    try append(10, to: buffer)
    #expect(buffer.start == 50 && buffer.end == 60)
  }

  // MARK: - After a kill

  private func inDirectory(_ body: (String) throws -> Void) throws {
    let directory = "/tmp/cw-ring-\(UInt32.random(in: 0 ... .max))"
    try #require(mkdir(directory, 0o700) == 0)
    defer { system("rm -rf \(directory)") }
    try body(directory + "/stream")
  }

  @Test func anotherOneFindsItAll() throws {
    try inDirectory { path in
      do {
        let buffer = try StreamBuffer(limit: 5000, path: path)
        try append(4000, to: buffer)
        buffer.position = 1234
        buffer.drop(before: 1000)
      }
      let again = try StreamBuffer(limit: 5000, path: path, existing: true)
      #expect((again.start, again.end, again.position) == (1000, 4000, 1234))
      let right = isRight(again)
      #expect(right)
      #expect(throws: SystemError.self) { _ = try StreamBuffer(limit: 1, path: path) }
      #expect(throws: SystemError.self) { _ = try StreamBuffer(limit: 1, path: path + "no", existing: true) }
    }
  }

  /// Whoever is told twice that a process is over must not take its successor's file away.
  @Test func aFileIsRemovedOnce() throws {
    try inDirectory { path in
      var buffer = try StreamBuffer(limit: 100, path: path)
      buffer.remove()
      _ = try StreamBuffer(limit: 100, path: path)
      buffer.remove()
      #expect(access(path, F_OK) == 0)
    }
  }

  @Test func memoryIsGivenBackOnceNothingIsKept() throws {
    try inDirectory { path in
      let buffer = try StreamBuffer(limit: 1 << 20, path: path)
      try append(1 << 20, to: buffer)
      buffer.trim()
      #expect(allocated(path) >= 1 << 20)
      buffer.drop(before: 1 << 20)
      buffer.trim()
      #expect(allocated(path) <= 64 << 10)
      try append(100_000, to: buffer)
      let right = isRight(buffer)
      #expect(right)
    }
  }

  /// A file of which another process has taken a copy at every moment of a read: each must be one before or after it.
  @Test(arguments: [1, 15, 16, 17, 60_000]) func aReadThatWasCutShortIsSettled(size: Int) throws {
    try inDirectory { path in
      let buffer = try StreamBuffer(limit: 5000, path: path)
      try append(100, to: buffer)
      // As the header is just before the bytes come, just after, and when they are counted.
      let data = (0..<size).map { byte(100 + UInt64($0)) }
      for (arrived, counted) in [(false, false), (true, false), (true, true)] {
        let copy = "\(path)-\(arrived)-\(counted)"
        try #require(system("cp \(path) \(copy)") == 0)
        let file = open(copy, O_RDWR)
        defer { close(file) }
        let mark = [UInt8](repeating: 0xC1, count: 16)
        #expect(pwrite(file, mark, 16, 56) == 16)
        try set(UInt64(100 + size), at: 72, in: copy)
        if counted { try set(UInt64(100 + size), at: 24, in: copy) }
        #expect(pwrite(file, mark, 16, 4096 + 100) == 16)
        if arrived { #expect(pwrite(file, data, size, 4096 + 100) == size) }
        let settled = try StreamBuffer(limit: 5000, path: copy, existing: true)
        #expect(settled.end == (arrived ? 100 + UInt64(size) : 100))
        let right = isRight(settled)
        #expect(right)
      }
    }
  }

  /// Bytes that went by elsewhere are in no memory: after each of the stores none may be taken to be kept.
  @Test(arguments: [1, 2, 3, 4]) func aSkipThatWasCutShortIsSettled(stores: Int) throws {
    try inDirectory { path in
      do {
        let buffer = try StreamBuffer(limit: 5000, path: path)
        try append(100, to: buffer)
        buffer.position = 100
        buffer.drop(before: 100)
      }
      // The start, the position, the end, and the offset at the beginning of the data.
      for place in [16, 40, 24, 32].prefix(stores) { try set(150, at: place, in: path) }
      let settled = try StreamBuffer(limit: 5000, path: path, existing: true)
      #expect((settled.start, settled.position, settled.end) == (150, 150, 150))
      try append(20, to: settled)
      let right = isRight(settled)
      #expect(right && settled.count == 20)
    }
  }

  private func set(_ number: UInt64, at place: off_t, in path: String) throws {
    let file = open(path, O_RDWR)
    defer { close(file) }
    try withUnsafeBytes(of: number) { try #require(pwrite(file, $0.baseAddress, 8, place) == 8) }
  }

  @Test func aPositionBehindTheEndIsRefused() throws {
    try inDirectory { path in
      do { try append(100, to: try StreamBuffer(limit: 5000, path: path)) }
      try set(101, at: 40, in: path)
      #expect(throws: SystemError.self) { _ = try StreamBuffer(limit: 1, path: path, existing: true) }
    }
  }

  @Test func whatIsNoRingIsRefused() throws {
    try inDirectory { path in
      for content in ["", "a letter", String(repeating: "x", count: 9000)] {
        try #require(system("printf %s '\(content)' > \(path)") == 0)
        #expect(throws: SystemError.self) { _ = try StreamBuffer(limit: 1, path: path, existing: true) }
      }
    }
  }
}
