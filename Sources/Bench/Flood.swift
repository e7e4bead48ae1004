internal import CLinux
internal import Glibc
internal import Protocol

/// Containers that print so many bytes each once a file appears in their root file system.
final class Flood {
  private let bench: Bench
  private let client: WorkerClient
  private let peers: Peers
  private let ids: [String]
  private let size: Int
  private let way: Int
  private let signal: String
  private var running: [Running] = []
  private var drains: [DescriptorDrain] = []
  private var socket: DescriptorSocket?

  /// - Parameter way: 0 raw, 1 text, 2 base64, 3 pipe, 4 fd, 5 unread.
  init(
    _ bench: Bench, _ client: WorkerClient, _ peers: Peers, count: Int, size: Int, round: Int, way: Int
  ) async throws {
    (self.bench, self.client, self.peers, self.size, self.way) = (bench, client, peers, size, way)
    signal = "/go\(round)-\(count)"
    ids = (0..<count).map { "flood\(round)-\($0)" }
    let args = Flood.args(signal: signal, size: size)
    if way >= 3 { socket = try DescriptorSocket(bench.worker) }
    for id in ids { try await start(id, args) }
  }

  /// Prints so many bytes once there is a file.
  static func args(signal: String, size: Int) -> [String] {
    let line = "the quick brown fox jumps over the lazy dog, and on it goes for a while"
    return ["sh", "-c", "while [ ! -e \(signal) ]; do sleep 0.02; done; yes '\(line)' | head -c \(size)"]
  }

  private func start(_ id: String, _ args: [String]) async throws {
    if way == 0 {
      // A cgroup of its own for each, as the worker makes them: the scheduler deals with groups.
      let spec = try bench.spec(args, client, cgroup: "bench-bare/\(id)").encoded
      try await peers.bare.create(id, spec: spec)
      return running.append(try await peers.bare.start(id))
    }
    try client.call(
      "container.create", #"{"container":"\#(id)","rootfs":"\#(bench.rootfs)","args":\#(json(args))}"#)
    if way == 5 {
      try client.call("task.start", #"{"container":"\#(id)"}"#)
      return
    }
    let attach = [
      1: "{}", 2: #"{"encoding":"base64"}"#, 3: #"{"mode":"pipe","streams":["stdout"]}"#,
      4: #"{"mode":"fd","streams":["stdout"]}"#,
    ]
    let arguments = #"{"container":"\#(id)","attach":\#(attach[way] ?? "{}")}"#
    guard let socket else {
      try client.call("task.start", arguments)
      return
    }
    for fd in try socket.call(#"{"command":"task.start","id":1,"arguments":\#(arguments)}"#) {
      drains.append(DescriptorDrain(fd))
    }
  }

  /// Lets them print.
  func release() {
    close(open(bench.rootfs + signal, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644))
  }

  /// A connection that is attached to all, and whose lines nobody looks at.
  func readInBackground(_ worker: String) throws -> DescriptorDrain {
    let fd = clinux_unix_connect(worker)
    guard fd >= 0 else { throw BenchFailure("cannot connect to \(worker)") }
    for id in ids {
      let line = Array((#"{"command":"stdio.attach","arguments":{"container":"\#(id)"}}"# + "\n").utf8)
      guard write(fd, line, line.count) == line.count else { throw BenchFailure("the worker has gone") }
    }
    return DescriptorDrain(fd)
  }

  /// Lets them print, and reads everything.
  func run() async throws {
    release()
    switch way {
    case 0:
      guard running.map({ $0.drained() }).allSatisfy({ $0 == size }) else { throw BenchFailure("bytes lost") }
    case 1, 2:
      // As the others: to the end of each stream, not to the end of its process.
      for _ in ids { try client.end(of: "stdout") }
    default:
      guard drains.map({ $0.bytes() }).allSatisfy({ $0 == size }) else { throw BenchFailure("bytes lost") }
    }
  }

  func remove() async throws {
    for id in ids {
      if way == 0 {
        try await peers.bare.wait(id)
        try await peers.bare.deleteTask(id)
        try await peers.bare.deleteContainer(id)
      } else {
        try client.call("container.delete", #"{"container":"\#(id)","force":true}"#)
      }
    }
    unlink(bench.rootfs + signal)
  }
}
