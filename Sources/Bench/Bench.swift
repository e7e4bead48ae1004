internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import Protocol

/// Measures a running worker beside the bare RPC sequence, in one run, and prints rows of a table.
@main
struct Bench: AsyncParsableCommand {
  @Option var worker: String
  @Option var containerd: String
  @Option var rootfs: String
  @Option var directory: String
  @Option(help: "Rounds of container lives; execs are twice, throughput a tenth of it.") var rounds = 40
  @Option(help: "The worker's pid, for its memory.") var pid: Int32

  func run() async throws {
    let client = try WorkerClient(worker)
    let bare = try BareClient(
      containerd: containerd, namespace: "bench-bare", directory: directory, rootfs: rootfs)
    print("| what | worker median | p99 | bare median | p99 | ratio of medians |")
    print("|---|---|---|---|---|---|")
    try await memory(client, "at rest")
    try await pings(client)
    try await lives(client, bare)
    try await execs(client, bare)
    try await output(client, bare)
    try input(client)
    try hundredContainers(client)
  }

  private func row(_ what: String, _ worker: Samples, _ bare: Samples) {
    print(
      "| \(what), ms | \(text(worker.median)) | \(text(worker.p99)) | \(text(bare.median)) | \(text(bare.p99)) "
        + "| \(text(worker.median / bare.median)) |")
  }

  private func lives(_ client: WorkerClient, _ bare: BareClient) async throws {
    let spec = try self.spec(["echo", "hi"], client)
    var (ours, theirs) = (Samples(), Samples())
    for round in 0..<rounds {
      let id = "life\(round)"
      // In turns, so that whatever else the machine does hits both.
      try await ours.measure {
        try client.call(
          "container.create", #"{"container":"\#(id)","rootfs":"\#(rootfs)","args":["echo","hi"]}"#)
        try client.call("task.start", #"{"container":"\#(id)","attach":{}}"#)
        try client.event("process.closed")
        try client.call("task.delete", #"{"container":"\#(id)"}"#)
        try client.call("container.delete", #"{"container":"\#(id)"}"#)
      }
      try await theirs.measure {
        try await bare.create(id, spec: spec)
        let running = try await bare.start(id)
        try await bare.wait(id)
        _ = running.drained()
        try await bare.deleteTask(id)
        try await bare.deleteContainer(id)
      }
    }
    row("container life (create, start, output, exit, delete)", ours, theirs)
  }

  private func execs(_ client: WorkerClient, _ bare: BareClient) async throws {
    let spec = try self.spec(["sleep", "100000"], client)
    guard let process = try parse(spec)["process"]?.object else {
      throw BenchFailure("no process in the spec")
    }
    var exec = process
    exec["args"] = ["echo", "hi"]
    try client.call(
      "container.create", #"{"container":"execs","rootfs":"\#(rootfs)","args":["sleep","100000"]}"#)
    try client.call("task.start", #"{"container":"execs"}"#)
    try await bare.create("execs", spec: spec)
    let sleeping = try await bare.start("execs")
    var (ours, theirs) = (Samples(), Samples())
    for round in 0..<2 * rounds {
      try await ours.measure {
        try client.call(
          "process.exec",
          #"{"container":"execs","process":"e\#(round)","args":["echo","hi"],"attach":{}}"#)
        try client.event("process.closed")
        try client.call("process.delete", #"{"container":"execs","process":"e\#(round)"}"#)
      }
      try await theirs.measure {
        let running = try await bare.exec("execs", "e\(round)", process: JSONValue.object(exec).encoded)
        try await bare.wait("execs", exec: "e\(round)")
        _ = running.drained()
        try await bare.deleteExec("execs", "e\(round)")
      }
    }
    row("exec life (exec, output, exit, delete)", ours, theirs)
    try client.call("container.delete", #"{"container":"execs","force":true}"#)
    try await bare.kill("execs")
    try await bare.wait("execs")
    _ = sleeping.drained()
    try await bare.deleteTask("execs")
    try await bare.deleteContainer("execs")
  }

  private func pings(_ client: WorkerClient) async throws {
    var samples = Samples()
    for _ in 0..<5000 { try await samples.measure { try client.call("ping") } }
    print("| `ping` round trip, ms | \(text(samples.median)) | \(text(samples.p99)) | – | – | – |")
    let count = 50_000
    let start = clinux_monotonic_ns()
    for _ in 0..<count / 50 {
      try client.send(Array(repeating: #"{"command":"ping","id":1}"#, count: 50).joined(separator: "\n"))
      for _ in 0..<50 { try client.reply() }
    }
    let seconds = Double(clinux_monotonic_ns() - start) / 1e9
    print("| `ping`s a second, 50 in flight | \(text(Double(count) / seconds)) | – | – | – | – |")
  }

  /// Megabytes a second through the shim's FIFO, as JSON and raw.
  private func output(_ client: WorkerClient, _ bare: BareClient) async throws {
    let size = 400_000_000
    for (name, program) in [
      (
        "text",
        "yes 'the quick brown fox jumps over the lazy dog, and on it goes for a while' | head -c \(size)"
      ),
      ("binary", "head -c \(size) /dev/urandom"),
    ] {
      let args = JSONValue.array(["sh", "-c", .string(program)])
      let encoded = String(decoding: args.encoded, as: UTF8.self)
      let spec = try self.spec(["sh", "-c", program], client)
      var (ours, theirs) = (Samples(), Samples())
      for round in 0..<max(3, rounds / 10) {
        let id = "out-\(name)\(round)"
        try await ours.measure {
          try client.call("run", #"{"container":"\#(id)","rootfs":"\#(rootfs)","args":\#(encoded)}"#)
        }
        try await theirs.measure {
          try await bare.create(id, spec: spec)
          let running = try await bare.start(id)
          try await bare.wait(id)
          guard running.drained() == size else { throw BenchFailure("bytes lost") }
          try await bare.deleteTask(id)
          try await bare.deleteContainer(id)
        }
      }
      let rate = { (samples: Samples) in Double(size) / 1e3 / samples.median }
      print(
        "| output, \(name), MB/s (bare: raw reads of the FIFO) | \(text(rate(ours))) | – | \(text(rate(theirs))) | – "
          + "| \(text(rate(ours) / rate(theirs))) |")
    }
  }

  private func input(_ client: WorkerClient) throws {
    let chunk = String(repeating: "0123456789abcde\\n", count: 32768)
    let count = 200
    try client.call("container.create", #"{"container":"in","rootfs":"\#(rootfs)","args":["wc","-c"]}"#)
    try client.call("task.start", #"{"container":"in","stdin":true,"attach":{}}"#)
    let start = clinux_monotonic_ns()
    for _ in 0..<count { try client.call("stdio.write", #"{"container":"in","text":"\#(chunk)"}"#) }
    try client.call("stdio.close", #"{"container":"in"}"#)
    try client.event("process.closed")
    let seconds = Double(clinux_monotonic_ns() - start) / 1e9
    print("| input, text, MB/s | \(text(Double(count * 32768 * 16) / 1e6 / seconds)) | – | – | – | – |")
    try client.call("container.delete", #"{"container":"in","force":true}"#)
  }

  private func hundredContainers(_ client: WorkerClient) throws {
    let before = try resident()
    for number in 0..<100 {
      try client.call(
        "container.create", #"{"container":"m\#(number)","rootfs":"\#(rootfs)","args":["sleep","100000"]}"#)
      try client.call("task.start", #"{"container":"m\#(number)"}"#)
    }
    let after = try resident()
    print("| memory with 100 running containers, MiB | \(text(after)) | – | – | – | – |")
    print("| … more per container, KiB | \(text((after - before) * 1024 / 100)) | – | – | – | – |")
    for number in 0..<100 {
      try client.call("container.delete", #"{"container":"m\#(number)","force":true}"#)
    }
  }

  private func memory(_ client: WorkerClient, _ when: String) async throws {
    print("| memory \(when), MiB | \(text(try resident())) | – | – | – | – |")
  }

  private func resident() throws -> Double {
    let path = "/proc/\(pid)/statm"
    let fd = open(path, O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = bytes.withUnsafeMutableBytes { read(fd, $0.baseAddress, $0.count) }
    close(fd)
    let fields = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
    guard fields.count > 1, let pages = Double(fields[1]) else { throw BenchFailure("cannot read \(path)") }
    return pages * 4096 / 1_048_576
  }

  /// The spec that the worker makes of the short form, so that both run the very same.
  private func spec(_ args: [String], _ client: WorkerClient) throws -> [UInt8] {
    let arguments: JSONValue = [
      "container": "spec", "rootfs": .string(rootfs), "args": .array(args.map(JSONValue.string)),
    ]
    try client.call("container.create", String(decoding: arguments.encoded, as: UTF8.self))
    let line = try client.call("container.inspect", #"{"container":"spec"}"#)
    try client.call("container.delete", #"{"container":"spec"}"#)
    guard var spec = try parse(line)["result"]?["spec"]?.object, var linux = spec["linux"]?.object else {
      throw BenchFailure("no spec")
    }
    linux["cgroupsPath"] = "/bench-bare/c"
    spec["linux"] = .object(linux)
    return JSONValue.object(spec).encoded
  }

  private func parse(_ line: [UInt8]) throws -> JSONValue {
    try line.withUnsafeBytes { try JSONParser.parse($0) }
  }
}
