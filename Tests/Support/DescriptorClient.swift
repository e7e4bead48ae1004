internal import CLinux
internal import Glibc

/// A client that takes descriptors: reads its socket a byte at a time, so that it knows with which line they came.
package final class DescriptorClient: Sendable {
  private let socket: Descriptor

  package init(_ path: String) throws {
    guard let socket = try UnixSocket.connect(path) else { throw TestFailure("nobody listens at \(path)") }
    self.socket = socket
  }

  package func send(_ json: JSON) { send(text: json.description) }

  package func send(text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(socket.rawValue, $0.baseAddress, $0.count) }
  }

  /// The next line, and the descriptors that came with its first byte.
  package func next() async throws -> (line: JSON, descriptors: [Descriptor]) {
    let (line, descriptors) = try await nextText()
    return (try JSON.parse(line), descriptors)
  }

  package func nextText() async throws -> (line: String, descriptors: [Descriptor]) {
    let socket = socket
    return try await offPool {
      var (line, descriptors): ([UInt8], [Descriptor]) = ([], [])
      while true {
        var byte: UInt8 = 0
        var numbers = [Int32](repeating: -1, count: 8)
        let count = clinux_receive_byte(socket.rawValue, &byte, &numbers)
        guard count >= 0 else {
          throw TestFailure("the connection has ended after \(String(decoding: line, as: UTF8.self))")
        }
        if count > 0, !line.isEmpty { throw TestFailure("descriptors in the middle of a line") }
        descriptors += numbers.prefix(Int(count)).map { Descriptor($0) }
        if byte == 0x0A { break }
        line.append(byte)
      }
      return (String(decoding: line, as: UTF8.self), descriptors)
    }
  }

  /// The reply to a command, with its descriptors; all that came before goes to `other`.
  package func call(
    _ command: String, _ arguments: JSON, other: (JSON) -> Void = { _ in }
  ) async throws -> (line: JSON, descriptors: [Descriptor]) {
    send(["command": JSON(command), "id": "d", "arguments": arguments])
    while true {
      let (line, descriptors) = try await next()
      if line["id"] == "d" { return (line, descriptors) }
      guard descriptors.isEmpty else { throw TestFailure("descriptors with \(line)") }
      other(line)
    }
  }

  /// Waits for an event.
  package func event(_ name: String) async throws -> JSON {
    while true {
      let line = try await next().line
      if line["event"].string == name { return line }
    }
  }
}

extension Descriptor {
  /// Everything up to the end of file, whether the descriptor blocks or not.
  package func readAll() async throws -> [UInt8] { try await read(upTo: .max) }

  package func read(exactly count: Int) async throws -> [UInt8] {
    let bytes = try await read(upTo: count)
    guard bytes.count == count else { throw TestFailure("\(bytes.count) bytes instead of \(count)") }
    return bytes
  }

  private func read(upTo limit: Int) async throws -> [UInt8] {
    try await offPool { [self] in
      var bytes: [UInt8] = []
      while bytes.count < limit {
        var chunk = [UInt8](repeating: 0, count: min(65536, limit - bytes.count))
        let count = chunk.withUnsafeMutableBytes { Glibc.read(rawValue, $0.baseAddress, $0.count) }
        if count > 0 {
          bytes += chunk.prefix(count)
        } else if count == 0 {
          return bytes
        } else if errno == EAGAIN {
          var waiting = pollfd(fd: rawValue, events: Int16(POLLIN), revents: 0)
          _ = poll(&waiting, 1, -1)
        } else if errno != EINTR {
          throw SystemError(call: "read")
        }
      }
      return bytes
    }
  }

  /// Writes everything, whether the descriptor blocks or not.
  package func writeAll(_ bytes: [UInt8]) async throws {
    try await offPool { [self] in
      var sent = 0
      while sent < bytes.count {
        let count = bytes.withUnsafeBytes {
          write(rawValue, $0.baseAddress.map { $0 + sent }, bytes.count - sent)
        }
        if count > 0 {
          sent += count
        } else if errno == EAGAIN {
          var waiting = pollfd(fd: rawValue, events: Int16(POLLOUT), revents: 0)
          _ = poll(&waiting, 1, -1)
        } else if errno != EINTR {
          throw SystemError(call: "write")
        }
      }
    }
  }
}
