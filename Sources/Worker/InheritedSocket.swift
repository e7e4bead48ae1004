internal import Glibc

/// What the program was started with, where that cannot be understood.
struct EnvironmentError: Error, CustomStringConvertible {
  let description: String
}

/// The program's environment while nobody else uses it.
enum Environment {
  /// A variable's value; the variable goes, so that nobody takes it for their own. Only before any thread starts: the
  /// environment has no lock.
  static func take(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    defer { unsetenv(name) }
    return String(cString: value)
  }

  static func takeNumber<Number: FixedWidthInteger>(_ name: String) throws(EnvironmentError) -> Number? {
    guard let text = take(name) else { return nil }
    if let number = Number(text), number > 0 { return number }
    throw EnvironmentError(description: "\(name)=\(text) is not a number that can be")
  }
}

/// The listening socket that a service manager hands over, as sd_listen_fds(3) has it. It stays the manager's: what
/// connects while no worker runs waits in it for the next one.
struct InheritedSocket {
  /// Open and found fit; whoever listens owns it.
  let descriptor: Int32
  /// The names of sockets that were handed over too, which nobody uses.
  let unused: [String]

  /// SD_LISTEN_FDS_START.
  private static let first: Int32 = 3
  /// The one that is meant where there are several: FileDescriptorName= in systemd.socket(5).
  private static let name = "worker"

  /// Nil when nothing was handed over to this process. Before anything is opened: descriptor 3 is not ours to use yet.
  static func take() throws(EnvironmentError) -> InheritedSocket? {
    let pid: pid_t? = try Environment.takeNumber("LISTEN_PID")
    let count: Int32? = try Environment.takeNumber("LISTEN_FDS")
    let names = Environment.take("LISTEN_FDNAMES")?.split(separator: ":", omittingEmptySubsequences: false)
    guard let count, pid == getpid() else { return nil }
    guard count > 1 else {
      try check(first)
      return InheritedSocket(descriptor: first, unused: [])
    }
    guard let names, names.count == Int(count), names.count(where: { $0 == name }) == 1 else {
      throw EnvironmentError(
        description: "\(count) sockets were handed over; LISTEN_FDNAMES must call exactly one of them \(name)"
      )
    }
    var chosen = first
    for (fd, name) in zip(first..., names) {
      if name == InheritedSocket.name {
        try check(fd)
        chosen = fd
      } else if close(fd) != 0 {
        throw EnvironmentError(description: "descriptor \(fd) was not handed over: \(text(errno))")
      }
    }
    return InheritedSocket(descriptor: chosen, unused: names.filter { $0 != name }.map(String.init))
  }

  /// It may have come through any hands: neither its kind nor its flags are given.
  private static func check(_ fd: Int32) throws(EnvironmentError) {
    let isStream = try option(SO_TYPE, of: fd) == Int32(SOCK_STREAM.rawValue)
    guard try option(SO_DOMAIN, of: fd) == AF_UNIX, isStream, try option(SO_ACCEPTCONN, of: fd) == 1 else {
      throw EnvironmentError(description: "descriptor \(fd) is not a Unix stream socket that listens")
    }
    let flags = fcntl(fd, F_GETFL)
    guard flags >= 0, fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0, fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 else {
      throw EnvironmentError(description: "descriptor \(fd): \(text(errno))")
    }
  }

  private static func option(_ name: Int32, of fd: Int32) throws(EnvironmentError) -> Int32 {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    if getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 { return value }
    throw EnvironmentError(description: "descriptor \(fd) was handed over as a socket: \(text(errno))")
  }

  private static func text(_ number: Int32) -> String { String(cString: strerror(number)) }
}
