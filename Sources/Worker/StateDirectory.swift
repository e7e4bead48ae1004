internal import CLinux
internal import FIFOIO
internal import Glibc

/// The directory that this worker has for itself as long as it lives, by a lock that goes with it.
///
/// Two workers on one directory would read the same FIFOs, and each would get a part.
final class StateDirectory: Sendable {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  private let lock: Descriptor

  init(_ path: String) throws {
    try Directory.make(path, mode: 0o700)
    let file = path + "/lock"
    let fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if fd < 0 { throw SystemError.last("open \(file)") }
    lock = Descriptor(owning: fd)
    if flock(fd, LOCK_EX | LOCK_NB) == 0 { return }
    guard errno == EWOULDBLOCK else { throw SystemError.last("lock \(file)") }
    throw Failure(description: "\(path) is in use by another worker")
  }
}
