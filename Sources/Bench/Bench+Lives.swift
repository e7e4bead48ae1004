internal import Protocol

/// How long a container and an exec take from their creation to their deletion.
extension Bench {
  func lives(_ client: WorkerClient, _ peers: Peers) async throws {
    let args = ["echo", "hi"]
    let bareSpec = try spec(args, client, cgroup: "bench-bare").encoded
    let goSpec = try file("life", try spec(args, client, cgroup: "bench-go"))
    var times = Comparison()
    for round in 0..<rounds {
      let id = "life\(round)"
      try await times.round {
        try client.call(
          "container.create", #"{"container":"\#(id)","rootfs":"\#(rootfs)","args":\#(json(args))}"#)
        try client.call("task.start", #"{"container":"\#(id)","attach":{}}"#)
        try client.event("process.closed")
        try client.call("task.delete", #"{"container":"\#(id)"}"#)
        try client.call("container.delete", #"{"container":"\#(id)"}"#)
      } bare: {
        _ = try await peers.bare.life(id, spec: bareSpec)
      } go: {
        try peers.go?.ask("life \(id) \(goSpec)")
      } docker: {
        try peers.docker?.ask("life \(id) bench \(json(args))")
      }
    }
    say(times.rowOfTimes("container life (create, start, output, exit, delete)"))
  }

  func execs(_ client: WorkerClient, _ peers: Peers) async throws {
    let (sleep, args) = (["sleep", "100000"], ["echo", "hi"])
    let bareSpec = try spec(sleep, client, cgroup: "bench-bare")
    guard var process = bareSpec["process"]?.object else { throw BenchFailure("no process in the spec") }
    process["args"] = .array(args.map(JSONValue.string))
    let goProcess = try file("exec", .object(process))
    try client.call(
      "container.create", #"{"container":"execs","rootfs":"\#(rootfs)","args":\#(json(sleep))}"#)
    try client.call("task.start", #"{"container":"execs"}"#)
    try await peers.bare.create("execs", spec: bareSpec.encoded)
    let sleeping = try await peers.bare.start("execs")
    try peers.go?.ask("start execs \(try file("sleep", try spec(sleep, client, cgroup: "bench-go")))")
    try peers.docker?.ask("start execs bench \(json(sleep))")
    var times = Comparison()
    for round in 0..<2 * rounds {
      try await times.round {
        try client.call(
          "process.exec",
          #"{"container":"execs","process":"e\#(round)","args":\#(json(args)),"attach":{}}"#)
        try client.event("process.closed")
        try client.call("process.delete", #"{"container":"execs","process":"e\#(round)"}"#)
      } bare: {
        let running = try await peers.bare.exec(
          "execs", "e\(round)", process: JSONValue.object(process).encoded)
        try await peers.bare.wait("execs", exec: "e\(round)")
        _ = running.drained()
        try await peers.bare.deleteExec("execs", "e\(round)")
      } go: {
        try peers.go?.ask("exec execs e\(round) \(goProcess)")
      } docker: {
        try peers.docker?.ask("exec execs \(json(args))")
      }
    }
    say(times.rowOfTimes("exec life (exec, output, exit, delete)"))
    try client.call("container.delete", #"{"container":"execs","force":true}"#)
    try await peers.bare.kill("execs")
    try await peers.bare.wait("execs")
    _ = sleeping.drained()
    try await peers.bare.deleteTask("execs")
    try await peers.bare.deleteContainer("execs")
    try peers.go?.ask("remove execs")
    try peers.docker?.ask("remove execs")
  }
}
