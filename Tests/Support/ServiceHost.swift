internal import Foundation
package import Glibc

/// Does for workers what a service manager does: holds the listening socket, hands it over, and hears how they are.
package final class ServiceHost: Sendable {
  package let socket: String
  package let stateDirectory: String
  package let namespace = Sandbox.newNamespace()
  package let notices: NoticeSocket
  private let directory: String
  private let listening: Descriptor

  /// - Parameter abstract: whether notices go to an abstract name and not to a path.
  package init(abstract: Bool = false, mode: mode_t = 0o600) throws {
    directory = try Sandbox.newDirectory("h")
    socket = "\(directory)/w.sock"
    stateDirectory = "\(directory)/state"
    // As in the socket unit: the queue is long enough for who comes while no worker runs.
    listening = try UnixSocket.listen(socket)
    chmod(socket, mode)
    notices = try NoticeSocket(abstract ? "@\(directory)/notices" : "\(directory)/notices")
  }

  /// A client of whichever worker accepts it.
  package func connect() throws -> LineClient {
    guard let descriptor = try UnixSocket.connect(socket) else { throw TestFailure("nobody listens") }
    let path = logPath
    return LineClient(descriptor) { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
  }

  private var logPath: String { "\(directory)/log" }

  /// Starts a worker; does not wait for anything.
  ///
  /// - Parameter through: a program and its options that turns into the worker.
  package func start(
    containerd: String, options: [String] = [], environment: [String: String] = [:], through: [String] = []
  ) throws -> WorkerProcess {
    let log = Descriptor(open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600))
    let arguments = WorkerProcess.arguments(
      containerd: containerd, socket: socket, stateDirectory: stateDirectory, namespace: namespace)
    let process = try ServiceHost.spawn(
      arguments + options, environment: environment.merging(["NOTIFY_SOCKET": notices.address]) { $1 },
      error: log, handing: [listening], through: through)
    return WorkerProcess(
      process: process, socket: socket, stateDirectory: stateDirectory, namespace: namespace,
      logPath: logPath)
  }

  /// Starts the program with descriptors from 3 on that are meant for it.
  package static func spawn(
    _ arguments: [String], environment: [String: String], error: Descriptor? = nil, handing: [Descriptor],
    through: [String] = []
  ) throws -> ChildProcess {
    // Only the process itself knows its number before the program runs.
    let script = "LISTEN_PID=${LISTEN_PID-$$} exec \"$@\""
    let fixed = ["SWIFT_BACKTRACE": "enable=no", "LISTEN_FDS": "\(handing.count)"]
    return try ChildProcess(
      "/bin/sh", ["-c", script, "sh"] + through + [WorkerProcess.binary()] + arguments,
      environment: fixed.merging(environment) { $1 }, error: error, more: handing)
  }
}

/// Where a service hears from its workers: NOTIFY_SOCKET of sd_notify(3).
package final class NoticeSocket: Sendable {
  package let address: String
  private let descriptor: Descriptor
  private let seen = Locked<[String]>([])
  /// Those of them that `next` has not returned.
  private let kept = Locked<[String]>([])

  package init(_ address: String) throws {
    self.address = address
    descriptor = try UnixSocket.bind(address, SOCK_DGRAM)
  }

  /// All that has come and was read, in its order.
  package var received: [String] { seen.with { $0 } }

  /// The first message with a line that begins so and that was not returned before.
  @discardableResult
  package func next(_ line: String) async throws -> String {
    try await offPool { [self] in
      let end = Date(timeIntervalSinceNow: 30)
      while true {
        if let message = take(line) { return message }
        if Date() > end { throw TestFailure("no \(line) came: \(received)") }
        read(milliseconds: 1000)
      }
    }
  }

  private func take(_ line: String) -> String? {
    kept.with { kept in
      kept.firstIndex { $0.split(separator: "\n").contains { $0.hasPrefix(line) } }.map {
        kept.remove(at: $0)
      }
    }
  }

  /// Takes all of the room that there is for messages.
  package func fill() throws {
    let sender = Descriptor(socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0))
    try UnixSocket.withName(address) { name, length in
      while sendto(sender.rawValue, "FILL=1", 6, 0, name, length) >= 0 {}
    }
    guard errno == EAGAIN else { throw SystemError(call: "sendto \(address)") }
  }

  /// Reads what has come and waits for no more.
  package func drain() {
    while read(milliseconds: 0) != nil {}
  }

  @discardableResult
  private func read(milliseconds: Int32) -> String? {
    var wanted = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
    guard poll(&wanted, 1, milliseconds) == 1 else { return nil }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { recv(descriptor.rawValue, $0.baseAddress, $0.count, 0) }
    let message = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    seen.with { $0.append(message) }
    kept.with { $0.append(message) }
    return message
  }
}

extension UnixSocket {
  /// A listening socket at a path.
  package static func listen(_ path: String, _ type: __socket_type = SOCK_STREAM) throws -> Descriptor {
    let descriptor = try bind(path, type)
    guard Glibc.listen(descriptor.rawValue, 4096) == 0 else { throw SystemError(call: "listen") }
    return descriptor
  }

  /// A socket at a path, or with an abstract name after @.
  package static func bind(_ address: String, _ type: __socket_type) throws -> Descriptor {
    let descriptor = Descriptor(socket(AF_UNIX, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0))
    let result = try withName(address) { Glibc.bind(descriptor.rawValue, $0, $1) }
    guard result == 0 else { throw SystemError(call: "bind \(address)") }
    return descriptor
  }

  /// A socket's name as the kernel takes it.
  static func withName<Result>(
    _ address: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
  ) throws -> Result {
    var bytes = Array(address.utf8)
    let isAbstract = bytes.first == UInt8(ascii: "@")
    if isAbstract { bytes[0] = 0 } else { bytes.append(0) }
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    guard bytes.count <= MemoryLayout.size(ofValue: name.sun_path) else {
      throw SystemError(call: "name \(address)", code: ENAMETOOLONG)
    }
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
    let size = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    return try withUnsafePointer(to: &name) {
      try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, size) }
    }
  }
}
