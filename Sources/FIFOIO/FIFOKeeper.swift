internal import CLinux
internal import Glibc

/// Has another process hold what this one reads, so that a kill costs no byte that is in a FIFO.
@Loop
package final class FIFOKeeper {
  /// Nil for none: then what is in a FIFO goes with the worker, if its process has ended.
  package static var shared: FIFOKeeper?

  /// It has held what an earlier worker read.
  let hasKept: Bool
  private let connection: SharedDescriptor
  /// Called once, when it does not do its work any more.
  private var onLoss: (@Loop (SystemError) -> Void)?

  package init(_ link: Link, onLoss: @escaping @Loop (SystemError) -> Void) {
    (hasKept, connection) = (link.existed, link.connection)
    self.onLoss = onLoss
  }

  /// A connection to the process, made before there are threads.
  package struct Link: Sendable {
    fileprivate let existed: Bool
    fileprivate let connection: SharedDescriptor

    /// - Parameter path: of its socket.
    package init(_ path: String) throws(SystemError) {
      var existed = false
      let fd = clinux_keeper_connect(path, &existed)
      if fd < 0 { throw SystemError.last("connect to \(path)") }
      connection = SharedDescriptor(Descriptor(owning: fd))
      self.existed = existed
    }
  }

  package func hold(_ path: String, _ descriptor: borrowing Descriptor) {
    // Not again and again: each would wait.
    if onLoss == nil { return }
    check(clinux_keeper_hold(connection.descriptor.raw, path, descriptor.raw))
  }

  package func drop(_ path: String) {
    if onLoss == nil { return }
    check(clinux_keeper_drop(connection.descriptor.raw, path))
  }

  private func check(_ result: Int32) {
    if result == 0 { return }
    onLoss?(SystemError.last("give the keeper a descriptor"))
    onLoss = nil
  }
}
