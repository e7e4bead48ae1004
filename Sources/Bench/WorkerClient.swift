internal import CLinux
internal import Glibc
internal import Protocol

/// The worker's socket, spoken to as simply as a client can: one line out, lines in until the one that is waited for.
final class WorkerClient {
  private let fd: Int32
  private var buffer: [UInt8] = []
  private var start = 0
  private var chunk = [UInt8](repeating: 0, count: 1 << 18)
  private(set) var bytesRead = 0

  init(_ socket: String) throws {
    fd = clinux_unix_connect(socket)
    guard fd >= 0 else { throw BenchFailure("cannot connect to \(socket)") }
    _ = try line { $0.starts(with: Array(#"{"hello""#.utf8)) }
  }

  deinit { close(fd) }

  /// A line with id 1.
  func command(_ command: String, _ arguments: String = "{}") -> [UInt8] {
    Array((#"{"command":"\#(command)","id":1,"arguments":\#(arguments)}"# + "\n").utf8)
  }

  func send(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { write(fd, $0.baseAddress.map { $0 + sent }, bytes.count - sent) }
      if count <= 0 { throw BenchFailure("the worker has gone") }
      sent += count
    }
  }

  /// Sends a command with id 1 and waits for its reply.
  @discardableResult
  func call(_ command: String, _ arguments: String = "{}") throws -> [UInt8] {
    try send(self.command(command, arguments))
    return try reply()
  }

  @discardableResult
  func reply() throws -> [UInt8] {
    let line = try line {
      $0.starts(with: Array(#"{"result""#.utf8)) || $0.starts(with: Array(#"{"error""#.utf8))
    }
    if line.starts(with: Array(#"{"error""#.utf8)) {
      throw BenchFailure(String(decoding: line, as: UTF8.self))
    }
    return line
  }

  func event(_ name: String) throws {
    let head = Array(#"{"event":"\#(name)""#.utf8)
    _ = try line { $0.starts(with: head) }
  }

  func end(of stream: String) throws {
    let (head, member) = (Array(#"{"event":"stdio.eof""#.utf8), Array(#""stream":"\#(stream)""#.utf8))
    _ = try line { $0.starts(with: head) && $0.contains(member) }
  }

  /// The first line that fits; others are dropped.
  func line(_ fits: (ArraySlice<UInt8>) -> Bool) throws -> [UInt8] {
    while true {
      while let end = nextEnd() {
        let line = buffer[start..<end]
        start = end + 1
        if fits(line) { return Array(line) }
      }
      try fill()
    }
  }

  private func nextEnd() -> Int? {
    if start >= buffer.count { return nil }
    return buffer.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress, let end = memchr(base + start, 0x0A, bytes.count - start) else {
        return nil
      }
      return UnsafeRawPointer(end) - base
    }
  }

  private func fill() throws {
    buffer.removeFirst(start)
    start = 0
    let count = chunk.withUnsafeMutableBytes { read(fd, $0.baseAddress, $0.count) }
    if count <= 0 { throw BenchFailure("the worker has gone") }
    bytesRead += count
    buffer += chunk[..<count]
  }
}

struct BenchFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
