internal import CLinux

/// Round trips, and what containers cost that only run.
extension Bench {
  func pings(_ client: WorkerClient) throws {
    var samples = Samples()
    for _ in 0..<5000 { try samples.measure { try client.call("ping") } }
    say(single("`ping` round trip, ms", samples.median, samples.p99))
    let count = 50_000
    let lines = [UInt8](
      Array(repeating: client.command("ping"), count: 50).joined())
    let start = clinux_monotonic_ns()
    for _ in 0..<count / 50 {
      try client.send(lines)
      for _ in 0..<50 { try client.reply() }
    }
    let seconds = Double(clinux_monotonic_ns() - start) / 1e9
    say(single("`ping`s a second, 50 in flight", Double(count) / seconds))
  }

  func hundredContainers(_ client: WorkerClient) throws {
    let before = try resident()
    for number in 0..<100 {
      try client.call(
        "container.create", #"{"container":"m\#(number)","rootfs":"\#(rootfs)","args":["sleep","100000"]}"#)
      try client.call("task.start", #"{"container":"m\#(number)"}"#)
    }
    let after = try resident()
    say(single("memory with 100 running containers, MiB", after))
    say(single("… more per container, KiB", (after - before) * 1024 / 100))
    for number in 0..<100 {
      try client.call("container.delete", #"{"container":"m\#(number)","force":true}"#)
    }
  }
}
