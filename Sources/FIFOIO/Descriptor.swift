internal import CLinux
internal import Glibc

/// A file descriptor with one owner, closed when the owner lets go. It must be out of the poller by then.
package struct Descriptor: ~Copyable, Sendable {
  package let raw: Int32

  /// Takes over an open descriptor.
  package init(owning raw: Int32) {
    self.raw = raw
  }

  deinit {
    // EBADF means that somebody closed what was not theirs: going on would close a stranger's descriptor next.
    if Glibc.close(raw) != 0 { precondition(errno != EBADF, "descriptor \(raw) was closed by somebody else") }
  }

  /// Closes now.
  package consuming func close() {}

  /// The number of bytes read, 0 at end of file, nil when there is nothing to read yet.
  package borrowing func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int? {
    while true {
      let count = Glibc.read(raw, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      if errno == EAGAIN { return nil }
      if errno != EINTR { throw SystemError.last("read") }
    }
  }

  /// The number of bytes written, nil when there is no room.
  package borrowing func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int? {
    while true {
      let count = Glibc.write(raw, bytes.baseAddress, bytes.count)
      if count >= 0 { return count }
      if errno == EAGAIN { return nil }
      if errno != EINTR { throw SystemError.last("write") }
    }
  }
}

/// A system call that failed.
package struct SystemError: Error, Sendable, CustomStringConvertible {
  package let number: Int32
  package let call: String

  package init(_ number: Int32, _ call: String) {
    self.number = number
    self.call = call
  }

  package static func last(_ call: String) -> SystemError {
    SystemError(errno, call)
  }

  package var description: String {
    "\(call): \(String(cString: strerror(number)))"
  }

  /// Nothing is wrong with what was to be opened: this process has no more descriptors or no more memory for it.
  package var isShortage: Bool { [EMFILE, ENFILE, ENOMEM].contains(number) }
}

/// A descriptor that is shared, or on its way to another process; closed with its last holder.
package final class SharedDescriptor: Sendable {
  package let descriptor: Descriptor

  package init(_ descriptor: consuming Descriptor) {
    self.descriptor = descriptor
  }
}

/// What a splice came to.
enum Spliced {
  case moved(Int)
  /// Nobody writes to the source any more, and it is empty.
  case end
  case sourceIsEmpty
  case targetIsFull
}

extension Descriptor {
  /// A pipe, of which the worker keeps one end, which does not block, and gives the other one away.
  static func pipe(workerReads: Bool) throws(SystemError) -> (
    worker: SharedDescriptor, other: SharedDescriptor
  ) {
    var ends: [Int32] = [-1, -1]
    guard clinux_pipe(&ends, workerReads) == 0 else { throw SystemError.last("pipe") }
    let (reads, writes) = (
      SharedDescriptor(Descriptor(owning: ends[0])), SharedDescriptor(Descriptor(owning: ends[1]))
    )
    return workerReads ? (reads, writes) : (writes, reads)
  }

  borrowing func splice(from source: borrowing Descriptor, atMost count: Int) throws(SystemError) -> Spliced {
    try source.splice(to: self, atMost: count)
  }

  /// Moves what there is to another pipe, without a copy.
  borrowing func splice(to target: borrowing Descriptor, atMost count: Int) throws(SystemError) -> Spliced {
    while true {
      let moved = clinux_splice(raw, target.raw, count)
      if moved > 0 { return .moved(moved) }
      if moved == 0 { return .end }
      // The kernel does not say which of the two it was.
      if errno == EAGAIN { return clinux_unread_bytes(raw) > 0 ? .targetIsFull : .sourceIsEmpty }
      if errno != EINTR { throw SystemError.last("splice") }
    }
  }
}
