internal import Foundation
internal import Synchronization

/// A failed system call.
package struct SystemError: Error, CustomStringConvertible {
  package let call: String
  package let code: Int32
  package init(call: String, code: Int32 = errno) {
    self.call = call
    self.code = code
  }
  package var description: String { "\(call): \(String(cString: strerror(code)))" }
}

package func errnoText() -> String { String(cString: strerror(errno)) }

/// A mutex that can be captured and stored like any other object.
package final class Locked<Value: Sendable>: Sendable {
  private let mutex: Mutex<Value>
  package init(_ value: Value) { mutex = Mutex(value) }

  package func with<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    try mutex.withLock { value in try body(&value) }
  }
}

/// A file descriptor that is closed once, by `close()` or with its last owner.
package final class Descriptor: Sendable {
  private let number: Locked<Int32>
  package init(_ number: Int32) { self.number = Locked(number) }
  deinit { close() }

  /// The number, or -1 after `close()`.
  package var rawValue: Int32 { number.with { $0 } }

  package func close() {
    let old = number.with { value in
      defer { value = -1 }
      return value
    }
    if old >= 0 { Glibc.close(old) }
  }

  /// Gives the number away: whoever takes it closes it.
  package func release() -> Int32 {
    number.with { value in
      defer { value = -1 }
      return value
    }
  }
}

package enum Pipe {
  /// A pipe that children don't inherit.
  package static func make() throws -> (read: Descriptor, write: Descriptor) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw SystemError(call: "pipe") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (Descriptor(ends[0]), Descriptor(ends[1]))
  }
}

package enum UnixSocket {
  /// A connection to the socket at `path`; nil while nobody listens there.
  package static func connect(_ path: String) throws -> Descriptor? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw SystemError(call: "connect \(path)", code: ENAMETOOLONG)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let descriptor = Descriptor(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor.rawValue, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if result == 0 { return descriptor }
    guard [ENOENT, ECONNREFUSED, EAGAIN].contains(errno) else { throw SystemError(call: "connect \(path)") }
    return nil
  }

  /// Waits until somebody listens at `path`, at most `seconds`, while `alive` holds.
  ///
  /// The state asked for is one in the kernel that nothing tells of, so this is the one place that polls.
  package static func waitUntilListening(
    _ path: String, seconds: Double = 10, alive: @Sendable () -> Bool
  ) throws -> Descriptor {
    let end = Date(timeIntervalSinceNow: seconds)
    while true {
      if let descriptor = try connect(path) { return descriptor }
      guard alive() else { throw SystemError(call: "nobody will listen at \(path)", code: ESRCH) }
      guard Date() < end else { throw SystemError(call: "nobody listens at \(path)", code: ETIMEDOUT) }
      usleep(5000)
    }
  }
}

/// Runs blocking work on a thread of its own, not in Swift's pool, which on two cores has two threads.
package func offPool<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result { try work() }) }
  }
}
