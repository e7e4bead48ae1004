internal import CLinux
internal import FIFOIO
internal import Glibc
internal import Logging

/// The listening socket: its file, its rights, and who may connect.
@Loop
final class Listener: ReadinessHandler {
  /// The file to remove in the end; nil where the socket is a service manager's.
  private let path: String?
  private let users: Set<UInt32>
  private let groups: Set<UInt32>
  private let log: Logger
  private let accepted: @Loop (Int32) -> Void
  private var socket: Descriptor?
  private var registration: Poller.Registration?

  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  init(
    options: Serve, inherited: InheritedSocket?, log: Logger, accepted: @escaping @Loop (Int32) -> Void
  ) throws {
    path = inherited == nil ? options.listen : nil
    users = Set(options.allowUid + [0, geteuid()])
    groups = Set(options.allowGid)
    self.log = log
    self.accepted = accepted
    let socket = Descriptor(owning: try inherited?.descriptor ?? Listener.bind(options))
    registration = try Poller.shared.add(socket, readable: true, writable: false, handler: self)
    self.socket = consume socket
  }

  /// Accepts no more. An inherited socket stays open where it came from, with those who wait in it.
  func close() {
    guard socket != nil else { return }
    if let registration { Poller.shared.remove(registration) }
    registration = nil
    socket = nil
    if let path { unlink(path) }
  }

  func ready(readable: Bool, writable: Bool, hangup: Bool) {
    guard let listening = socket?.raw else { return }
    let fd = clinux_accept(listening)
    if fd < 0 {
      if errno != EAGAIN && errno != ECONNABORTED && errno != EINTR { pause(SystemError.last("accept")) }
      return
    }
    var peer = clinux_peer()
    guard clinux_peer_credentials(fd, &peer) == 0, users.contains(peer.uid) || groups.contains(peer.gid)
    else {
      let line =
        #"{"error":{"code":"permission_denied","message":"this user may not connect","retry":"no"},"line":0}"#
        + "\n"
      _ = Array(line.utf8).withUnsafeBytes { clinux_send(fd, $0.baseAddress, $0.count) }
      Descriptor(owning: fd).close()
      return log.warning(
        "refused", metadata: ["uid": "\(peer.uid)", "gid": "\(peer.gid)", "pid": "\(peer.pid)"])
    }
    accepted(fd)
  }

  /// Out of descriptors: the waiting client would make the loop spin.
  private func pause(_ error: SystemError) {
    log.error("cannot accept", metadata: ["error": "\(error)"])
    guard let registration else { return }
    Poller.shared.change(registration, readable: false, writable: false)
    _ = Poller.shared.schedule(after: .milliseconds(100)) { [weak self] in
      guard let registration = self?.registration else { return }
      Poller.shared.change(registration, readable: true, writable: false)
    }
  }

  private static func bind(_ options: Serve) throws -> Int32 {
    let path = options.listen
    try removeStale(path)
    // Others than root can only be told apart once they have connected.
    let open = !options.allowUid.isEmpty || !options.allowGid.isEmpty
    try Directory.make(
      String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]), mode: open ? 0o711 : 0o700)
    let fd = clinux_unix_listen(path, open ? 0o666 : 0o600, 128)
    if fd < 0 { throw SystemError.last("listen on \(path)") }
    return fd
  }

  /// Removes the socket of a worker that is gone; one that answers is somebody's.
  private static func removeStale(_ path: String) throws {
    let fd = clinux_unix_connect(path)
    if fd >= 0 {
      Descriptor(owning: fd).close()
      throw Failure(description: "\(path) is in use by another worker")
    }
    switch errno {
    case ENOENT: return
    case ECONNREFUSED:
      if unlink(path) != 0 { throw SystemError.last("unlink \(path)") }
    default: throw SystemError.last("connect to \(path)")
    }
  }
}

/// Directories of the worker's own.
enum Directory {
  /// Makes a directory and those above it; an existing one stays as it is.
  static func make(_ path: String, mode: mode_t) throws(SystemError) {
    if path.isEmpty || mkdir(path, mode) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/") else {
      throw SystemError.last("mkdir \(path)")
    }
    try make(String(path[..<slash]), mode: 0o755)
    if mkdir(path, mode) != 0 && errno != EEXIST { throw SystemError.last("mkdir \(path)") }
  }
}

/// Tells signals on the loop.
@Loop
final class SignalReader: ReadinessHandler {
  private var descriptor: Descriptor?
  private var registration: Poller.Registration?
  private let handle: @Loop (Int32) -> Void

  init(_ descriptor: consuming Descriptor, handle: @escaping @Loop (Int32) -> Void) throws(SystemError) {
    self.handle = handle
    let descriptor = consume descriptor
    registration = try Poller.shared.add(descriptor, readable: true, writable: false, handler: self)
    self.descriptor = consume descriptor
  }

  func ready(readable: Bool, writable: Bool, hangup: Bool) {
    guard let fd = descriptor?.raw else { return }
    let number = clinux_signalfd_read(fd)
    if number > 0 { handle(number) }
  }
}
