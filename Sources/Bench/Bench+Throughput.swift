internal import Protocol

/// How fast output and input go, a container's whole life included.
extension Bench {
  /// As JSON to a client that reads it; the peers read the shim's FIFO, or what dockerd passes on.
  func output(_ client: WorkerClient, _ peers: Peers) async throws {
    let size = 400_000_000
    let line = "the quick brown fox jumps over the lazy dog, and on it goes for a while"
    for (name, program) in [
      ("text", "yes '\(line)' | head -c \(size)"), ("binary", "head -c \(size) /dev/urandom"),
    ] {
      let args = ["sh", "-c", program]
      let bareSpec = try spec(args, client, cgroup: "bench-bare").encoded
      let goSpec = try file(name, try spec(args, client, cgroup: "bench-go"))
      var times = Comparison()
      for round in 0..<max(3, rounds / 10) {
        let id = "out-\(name)\(round)"
        try await times.round {
          try client.call("run", #"{"container":"\#(id)","rootfs":"\#(rootfs)","args":\#(json(args))}"#)
        } bare: {
          guard try await peers.bare.life(id, spec: bareSpec) == size else {
            throw BenchFailure("bytes lost")
          }
        } go: {
          try peers.go?.ask("output \(id) \(goSpec) \(size)")
        } docker: {
          try peers.docker?.ask("output \(id) bench \(json(args)) \(size)")
        }
      }
      say(times.rowOfRates("output, \(name)", bytes: size))
    }
  }

  /// In pieces that are answered while the next ones are on their way.
  func input(_ client: WorkerClient, _ peers: Peers) async throws {
    let (chunk, count, ahead, args) = (65_536, 1600, 8, ["wc", "-c"])
    let goSpec = try file("input", try spec(args, client, cgroup: "bench-go"))
    for (name, key, piece) in [
      ("text", "text", "0123456789abcde\\n"), ("binary", "base64", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"),
    ] {
      let size = name == "text" ? 16 : 24
      let content = String(repeating: piece, count: chunk / size)
      let (bytes, line) = (
        chunk / size * size * count,
        client.command("stdio.write", #"{"container":"in","\#(key)":"\#(content)"}"#)
      )
      var times = Comparison()
      for round in 0..<max(3, rounds / 10) {
        try client.call(
          "container.create", #"{"container":"in","rootfs":"\#(rootfs)","args":\#(json(args))}"#)
        try client.call("task.start", #"{"container":"in","stdin":true,"attach":{}}"#)
        // From the first write to the end.
        try await times.round {
          for sent in 0..<count {
            try client.send(line)
            if sent >= ahead { try client.reply() }
          }
          for _ in 0..<ahead { try client.reply() }
          try client.call("stdio.close", #"{"container":"in"}"#)
          try client.event("process.closed")
        } go: {
          try peers.go?.ask("input in-\(name)\(round) \(goSpec) \(bytes)")
        } docker: {
          try peers.docker?.ask("input in-\(name)\(round) bench \(bytes)")
        }
        try client.call("container.delete", #"{"container":"in","force":true}"#)
      }
      say(times.rowOfRates("input, \(name)", bytes: bytes))
    }
  }
}
