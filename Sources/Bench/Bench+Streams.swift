/// Output in each way that a client can have it, one stream alone and fifty at once, beside a raw read of the FIFOs; and
/// what other things cost while fifty streams run full.
extension Bench {
  func measureStreams(_ client: WorkerClient, _ peers: Peers) async throws {
    for (count, size) in [(1, 400_000_000), (50, 16_000_000)] {
      var rates: [(String, Samples)] = ["raw reads", "JSON text", "JSON base64", "pipe", "fd"].map {
        ($0, Samples())
      }
      for round in 0..<max(3, rounds / 10) {
        for way in rates.indices.shuffled() {
          let flood = try await Flood(
            self, client, peers, count: count, size: size, round: round * 8 + way, way: way)
          try await rates[way].1.measure { try await flood.run() }
          try await flood.remove()
        }
      }
      let rate = { (samples: Samples) in Double(count * size) / 1e3 / samples.median }
      for (name, samples) in rates.dropFirst() {
        say(
          comparison(
            "\(count == 1 ? "one stream" : "\(count) streams"), \(name), MB/s", rate(samples),
            rate(rates[0].1)))
      }
    }
    try await underLoad(client, peers)
  }

  private func comparison(_ what: String, _ ours: Double, _ theirs: Double) -> String {
    "| \(what) | \(text(ours)) | – | \(text(theirs)) | \(text(ours / theirs)) | – | – | – | – |"
  }

  /// A line there and back through a container's `cat`, and pings, while fifty streams run full on another connection.
  private func underLoad(_ client: WorkerClient, _ peers: Peers) async throws {
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
