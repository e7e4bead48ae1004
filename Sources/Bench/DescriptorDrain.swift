internal import CLinux
internal import Glibc

/// Reads a descriptor to its end in a thread of its own and counts.
final class DescriptorDrain {
  private var thread = pthread_t()
  private let fd: Int32

  init(_ fd: Int32) {
    self.fd = fd
    pthread_create(&thread, nil, drainDescriptor, UnsafeMutableRawPointer(bitPattern: Int(fd) + 1))
  }

  /// Ends a socket before its other end does.
  func stop() {
    shutdown(fd, Int32(SHUT_RDWR))
    _ = bytes()
  }

  /// Waits for the end; the bytes that came.
  func bytes() -> Int {
    var result: UnsafeMutableRawPointer?
    pthread_join(thread, &result)
    return Int(bitPattern: result)
  }
}

private func drainDescriptor(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  let fd = Int32(Int(bitPattern: argument) - 1)
  // It comes as the worker had it.
  _ = fcntl(fd, F_SETFL, 0)
  var (buffer, total) = ([UInt8](repeating: 0, count: 65536), 0)
  while true {
    let count = buffer.withUnsafeMutableBytes { read(fd, $0.baseAddress, $0.count) }
    if count <= 0 { break }
    total += count
  }
  close(fd)
  return UnsafeMutableRawPointer(bitPattern: total)
}

/// A connection that takes descriptors with replies.
final class DescriptorSocket {
  private let fd: Int32

  init(_ path: String) throws {
    fd = clinux_unix_connect(path)
    guard fd >= 0 else { throw BenchFailure("cannot connect to \(path)") }
    _ = try call(#"{"command":"hello","id":1,"arguments":{"accept":["attach.fd"]}}"#)
  }

  deinit { close(fd) }

  /// Sends a line with id 1 and reads, a byte at a time, up to its reply; the descriptors that came with it.
  func call(_ line: String) throws -> [Int32] {
    let bytes = Array((line + "\n").utf8)
    guard write(fd, bytes, bytes.count) == bytes.count else { throw BenchFailure("the worker has gone") }
    var (text, found): ([UInt8], [Int32]) = ([], [])
    while true {
      var (byte, numbers) = (UInt8(0), [Int32](repeating: -1, count: 8))
      let count = clinux_receive_byte(fd, &byte, &numbers)
      if count < 0 { throw BenchFailure("the worker has gone") }
      found += numbers.prefix(Int(count))
      if byte != 0x0A {
        text.append(byte)
        continue
      }
      if text.starts(with: Array(#"{"error""#.utf8)) {
        throw BenchFailure(String(decoding: text, as: UTF8.self))
      }
      if text.starts(with: Array(#"{"result""#.utf8)) { return found }
      text = []
    }
  }
}
