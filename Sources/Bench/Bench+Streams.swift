/// Output in each way that a client can have it, one stream alone and fifty at once, beside a raw read of the FIFOs; and
/// what other things cost while fifty streams run full.
extension Bench {
  func measureStreams(_ client: WorkerClient, _ peers: Peers) async throws {
    for (count, size) in [(1, 400_000_000), (50, 16_000_000)] {
      let what = count == 1 ? "one stream" : "\(count) streams"
      let times = try await turns(client, peers, count, size)
      let rates = times.map { Double(count * size) / 1e3 / $0.median }
      for (way, name) in [(1, "JSON text"), (2, "JSON base64"), (3, "pipe"), (4, "fd")] {
        let others = [rates[0], rates[5], rates[6]].flatMap { [text($0), text(rates[way] / $0)] }
        say(tableRow(["\(what), \(name), MB/s", text(rates[way]), "–"] + others))
      }
    }
    try await underLoad(client, peers)
  }

  /// What each took: the ways of `Flood`, then containerd's Go client and dockerd.
  private func turns(
    _ client: WorkerClient, _ peers: Peers, _ count: Int, _ size: Int
  ) async throws -> [Samples] {
    var times = Array(repeating: Samples(), count: 7)
    let goSpec = try file(
      "flood", try spec(Flood.args(signal: "/go-peer", size: size), client, cgroup: "bench-go"))
    let dockerArgs = json(Flood.args(signal: "/signal/docker-peer", size: size))
    for round in 0..<max(3, rounds / 10) {
      for way in times.indices.shuffled() {
        switch way {
        case 5:
          times[way].add(
            try peers.go?.ask("flood flood\(round) \(goSpec) \(size) \(count) \(rootfs)/go-peer"))
        case 6:
          let request = "flood flood\(round) bench \(size) \(count) \(rootfs)/docker-peer \(dockerArgs)"
          times[way].add(try peers.docker?.ask(request))
        default:
          let flood = try await Flood(
            self, client, peers, count: count, size: size, round: round * 8 + way, way: way)
          try await times[way].measure { try await flood.run() }
          try await flood.remove()
        }
      }
    }
    return times
  }

  /// A line there and back through a container's `cat`, and pings, while fifty streams run full on another connection.
  func underLoad(_ client: WorkerClient, _ peers: Peers) async throws {
    let flood = try await Flood(self, client, peers, count: 50, size: 40_000_000, round: 999, way: 5)
    let other = try WorkerClient(worker)
    try other.call("container.create", #"{"container":"echo","rootfs":"\#(rootfs)","args":["cat"]}"#)
    try other.call("task.start", #"{"container":"echo","stdin":true,"attach":{}}"#)
    try measureEcho(other, "alone")
    let drain = try flood.readInBackground(worker)
    flood.release()
    try measureEcho(other, "with 50 streams running full")
    try other.call("container.delete", #"{"container":"echo","force":true}"#)
    try await flood.remove()
    drain.stop()
  }

  private func measureEcho(_ client: WorkerClient, _ when: String) throws {
    let write = client.command("stdio.write", #"{"container":"echo","text":"a line\n"}"#)
    var (echoes, pings) = (Samples(), Samples())
    for _ in 0..<500 {
      try echoes.measure {
        try client.send(write)
        try client.event("stdio.data")
      }
      try pings.measure { try client.call("ping") }
    }
    say(single("a line through `cat` and back, \(when), ms", echoes.median, echoes.p99))
    say(single("`ping`, \(when), ms", pings.median, pings.p99))
  }
}
