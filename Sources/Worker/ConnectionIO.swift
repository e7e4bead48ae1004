internal import CLinux
internal import FIFOIO
internal import Glibc

/// Stands for a connection at an output of its own.
@Loop
final class OutputWatch: ReadinessHandler {
  // It goes with the registration that the connection removes when it closes.
  private unowned let connection: Connection

  init(_ connection: Connection) {
    self.connection = connection
  }

  func ready(readable: Bool, writable: Bool, hangup: Bool) {
    connection.outputReady(writable: writable, hangup: hangup)
  }
}

extension Descriptor {
  /// Nil for a regular file, which cannot be polled and never makes anybody wait.
  @Loop
  borrowing func watch(
    readable: Bool, handler: any ReadinessHandler
  ) throws(SystemError) -> Poller.Registration? {
    do throws(SystemError) {
      return try Poller.shared.add(self, readable: readable, writable: false, handler: handler)
    } catch {
      if error.number == EPERM { return nil }
      throw error
    }
  }

  borrowing func send(
    _ bytes: UnsafeRawBufferPointer, with descriptors: [Int32]
  ) throws(SystemError) -> Int? {
    while true {
      let count =
        descriptors.isEmpty
        ? clinux_send(raw, bytes.baseAddress, bytes.count)
        : clinux_send_descriptors(raw, bytes.baseAddress, bytes.count, descriptors, Int32(descriptors.count))
      if count >= 0 { return count }
      if errno == EAGAIN { return nil }
      if errno != EINTR { throw SystemError.last("send") }
    }
  }
}
