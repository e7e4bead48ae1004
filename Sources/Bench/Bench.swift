internal import ArgumentParser
internal import Glibc
internal import Protocol

/// Measures a running worker beside its peers in one run, and prints rows of a table. All take turns, so that whatever
/// else the machine does hits each of them.
@main
struct Bench: AsyncParsableCommand {
  @Option var worker: String
  @Option var containerd: String
  @Option var rootfs: String
  @Option var directory: String
  @Option(help: "Rounds of container lives; execs are twice, throughput a tenth of it.") var rounds = 40
  @Option(help: "The worker's pid, for its memory.") var pid: Int32
  @Option(help: "The peer with containerd's Go client.") var go: String?
  @Flag(help: "Also each way to have output, one and fifty streams at once.") var streams = false
  @Option(help: "dockerd's socket, and with it the peer that speaks to it.") var docker: [String] = []

  @Option(help: "Nothing but this: lives, streams, load, input or encoding.") var only: String?

  func run() async throws {
    let peers = try makePeers()
    let client = try WorkerClient(worker)
    say(Comparison.head)
    switch only {
    case "lives":
      try await lives(client, peers)
      return try await execs(client, peers)
    case "streams": return try await measureStreams(client, peers)
    case "load": return try await underLoad(client, peers)
    case "encoding": return try encoding()
    case "input": return try await input(client, peers)
    case let other?: throw BenchFailure("cannot measure only \(other)")
    case nil: break
    }
    say(single("memory at rest, MiB", try resident()))
    try pings(client)
    try await lives(client, peers)
    try await execs(client, peers)
    try await output(client, peers)
    try await input(client, peers)
    try encoding()
    try hundredContainers(client)
    if streams { try await measureStreams(client, peers) }
  }

  private func makePeers() throws -> Peers {
    Peers(
      bare: try BareClient(containerd: containerd, namespace: "bench-bare", directory: directory),
      go: try go.map { try Peer($0, ["-address", containerd, "-fifos", directory]) },
      docker: docker.count == 2 ? try Peer("python3", [docker[1], docker[0]]) : nil)
  }

  /// The spec that the worker makes of the short form, so that all run the very same, in a cgroup of the peer's own.
  func spec(_ args: [String], _ client: WorkerClient, cgroup: String) throws -> JSONValue {
    let arguments: JSONValue = [
      "container": "spec", "rootfs": .string(rootfs), "args": .array(args.map(JSONValue.string)),
    ]
    try client.call("container.create", String(decoding: arguments.encoded, as: UTF8.self))
    let line = try client.call("container.inspect", #"{"container":"spec"}"#)
    try client.call("container.delete", #"{"container":"spec"}"#)
    guard var spec = try parse(line)["result"]?["spec"]?.object, var linux = spec["linux"]?.object else {
      throw BenchFailure("no spec")
    }
    linux["cgroupsPath"] = .string("/\(cgroup)/c")
    spec["linux"] = .object(linux)
    return .object(spec)
  }

  /// A file with JSON, for a peer to read.
  func file(_ name: String, _ value: JSONValue) throws -> String {
    let path = "\(directory)/\(name).json"
    let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    defer { close(fd) }
    let bytes = value.encoded
    guard write(fd, bytes, bytes.count) == bytes.count else { throw BenchFailure("cannot write \(path)") }
    return path
  }

  private func parse(_ line: [UInt8]) throws -> JSONValue {
    try line.withUnsafeBytes { try JSONParser.parse($0) }
  }

  func resident() throws -> Double {
    let path = "/proc/\(pid)/statm"
    let fd = open(path, O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = bytes.withUnsafeMutableBytes { read(fd, $0.baseAddress, $0.count) }
    close(fd)
    let fields = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
    guard fields.count > 1, let pages = Double(fields[1]) else { throw BenchFailure("cannot read \(path)") }
    return pages * 4096 / 1_048_576
  }
}

/// Who the worker is measured beside.
struct Peers {
  /// The same RPCs on the same channel code, with a thread that reads each FIFO raw: the floor that containerd and runc
  /// set.
  let bare: BareClient
  let go: Peer?
  let docker: Peer?
}

/// A line at once, not when a buffer is full: whoever reads the table wants to see it grow.
func say(_ line: String) {
  let bytes = Array((line + "\n").utf8)
  _ = write(STDOUT_FILENO, bytes, bytes.count)
}

/// As the peers want it, in one word where there is no space in it.
func json(_ args: [String]) -> String {
  String(decoding: JSONValue.array(args.map(JSONValue.string)).encoded, as: UTF8.self)
}
