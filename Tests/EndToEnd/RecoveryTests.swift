import Foundation
import Testing
import TestSupport

/// Shims and containerd that die or hang, and what an earlier worker or another client has left.
@Suite(.serialized)
struct RecoveryTests {
  /// How often events of a kind came for a process.
  private func count(_ name: String, _ client: LineClient, _ container: String, _ process: String) -> Int {
    client.history().count {
      $0["event"].string == name && $0["container"].string == container && $0["process"].string == process
    }
  }

  // MARK: - Shims

  @Test func aKilledShimGivesOneExitForEachProcess() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    try await bed.startContainer("c1", ["sleep", "1000"], stdin: true)
    for exec in ["e1", "e2"] {
      try await client.call(
        "process.exec", ["container": "c1", "process": JSON(exec), "args": ["sleep", "1000"], "attach": [:]])
    }
    let shims = bed.containerd.shimPIDs(of: bed.worker.namespace, container: "c1")
    #expect(shims.count == 1)
    for shim in shims { kill(shim, SIGKILL) }
    #expect(try await client.event("process.exited", container: "c1", process: "init")["exit_code"] == 137)
    for exec in ["e1", "e2"] {
      let exited = try await client.event("process.exited", container: "c1", process: exec)
      #expect(exited["exit_code"].isNull)
      #expect(exited["source"] == "lost")
    }
    _ = try await client.event("task.deleted", container: "c1")
    for process in ["init", "e1", "e2"] {
      #expect(count("process.exited", client, "c1", process) == 1)
      #expect(count("process.closed", client, "c1", process) == 1)
    }
    #expect(try await client.error("process.status", ["container": "c1"])["code"] == "not_found")
    // The container itself can be started again.
    try await client.call("task.start", ["container": "c1"])
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aHungShimDelaysItsOwnContainerOnly() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    try await bed.startContainer("hung", ["sleep", "1000"])
    try await bed.startContainer("fine", ["cat"], stdin: true)
    let shim = try #require(bed.containerd.shimPIDs(of: bed.worker.namespace, container: "hung").first)
    try await ProcessList.freeze(shim)
    // Its kill is under way while all else is done.
    let killed = client.post("process.kill", ["container": "hung", "signal": "KILL"])
    #expect(try await client.call("process.status", ["container": "hung"])["status"] == "unknown")
    #expect(try await client.call("process.status", ["container": "fine"])["status"] == "running")
    #expect(try await bed.run("c1", ["echo", "hi"])["exit_code"] == 0)
    let stats = try await client.call("task.stats", ["containers": ["hung", "fine"]])
    #expect(stats["containers"].has("fine"))
    #expect(stats["failed"]["hung"]["code"] == "deadline_exceeded")
    try await client.call("stdio.close", ["container": "fine"])
    _ = try await client.event("process.closed", container: "fine")
    // UNKNOWN is not stopped.
    #expect(!client.history().contains { $0["event"] == "process.exited" && $0["container"] == "hung" })
    kill(shim, SIGCONT)
    _ = try await client.result(of: killed)
    #expect(try await client.event("process.exited", container: "hung")["exit_code"] == 137)
    try await bed.remove("hung")
    try await bed.remove("fine")
    try await bed.finish()
  }

  // MARK: - containerd

  /// Its shim and all that containerd has of it are gone.
  @Test func whatIsToldToBeLostDoesNotGoOn() async throws {
    let containerd = try await PrivateContainerd.start()
    let worker = try await WorkerProcess.start(containerd: containerd.address)
    let client = try worker.connect()
    let rootfs = try await RootFilesystem.busybox()
    try await client.call(
      "container.create", ["container": "c1", "rootfs": JSON(rootfs), "args": ["sleep", "1000"]])
    try await client.call("task.start", ["container": "c1"])
    let pid = try #require(try await client.event("task.started", container: "c1")["pid"].int)
    await containerd.kill()
    _ = try await client.event("containerd.disconnected")
    for shim in containerd.shimPIDs(of: worker.namespace) { kill(shim, SIGKILL) }
    try containerd.loseTasks(of: worker.namespace)
    #expect(kill(pid_t(pid), 0) == 0)
    try await containerd.start()
    #expect(try await client.event("process.exited", container: "c1")["source"] == "lost")
    try await ProcessList.untilGone(pid_t(pid))
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await worker.terminate() == .exited(0))
  }

  @Test func whatEndsWhileContainerdIsAwayIsToldOnce() async throws {
    let containerd = try await PrivateContainerd.start()
    let worker = try await WorkerProcess.start(containerd: containerd.address)
    let client = try worker.connect()
    let hello = try await client.greeting()
    let rootfs = try await RootFilesystem.busybox()
    if hello["containerd"]["connected"] != true { _ = try await client.event("containerd.connected") }
    for id in ["ends", "stays", "lives"] {
      try await client.call(
        "container.create",
        ["container": JSON(id), "rootfs": JSON(rootfs), "args": ["sh", "-c", "read x; exit 7"]])
      try await client.call("task.start", ["container": JSON(id), "stdin": true, "attach": [:]])
    }
    try await client.call(
      "process.exec",
      ["container": "stays", "process": "e1", "args": ["sh", "-c", "read x; exit 5"], "stdin": true])
    // Sees the end of its stdin only by a call to containerd.
    try await client.call(
      "process.exec", ["container": "stays", "process": "e2", "args": ["cat"], "stdin": true, "attach": [:]])
    try await client.call("task.pause", ["container": "lives"])
    await containerd.kill()
    _ = try await client.event("containerd.disconnected")
    #expect(try await client.error("container.list")["code"] == "unavailable")
    let pid = try #require(
      client.history().last { $0["event"] == "task.started" && $0["container"] == "ends" }?["pid"].int)
    try await client.call("stdio.write", ["container": "ends", "text": "\n"])
    try await client.call("stdio.write", ["container": "stays", "process": "e1", "text": "\n"])
    try await client.call("stdio.close", ["container": "stays", "process": "e2"])
    try await ProcessList.untilGone(pid_t(pid))
    try await containerd.start()
    #expect(try await client.event("process.closed", container: "stays", process: "e2")["exit_code"] == 0)
    let connected = try await client.event("containerd.connected")
    let ended = try await client.event("process.exited", container: "ends")
    // containerd from 1.7 on forgets such a task (cleaning leaked shims), and with it the code.
    if ended["source"] == "lost" {
      #expect(hello["containerd"]["version"].string?.hasPrefix("1.6") == false)
      #expect(ended["exit_code"].isNull)
    } else {
      #expect(ended["exit_code"] == 7)
    }
    let exec = try await client.event("process.exited", container: "stays", process: "e1")
    #expect(exec["exit_code"] == 5)
    #expect((connected["exits"].int ?? 0) <= 3)
    #expect(try await client.call("process.status", ["container": "stays"])["status"] == "running")
    #expect(try await client.call("process.status", ["container": "lives"])["status"] == "paused")
    // The numbers go on without a gap, and nothing is told twice.
    let numbers = client.history().compactMap { $0["seq"].int }
    #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $1 == $0 + 1 })
    for id in ["ends", "stays", "lives"] {
      try await client.call("container.delete", ["container": JSON(id), "force": true])
    }
    #expect(count("process.exited", client, "ends", "init") == 1)
    #expect(count("process.exited", client, "stays", "e1") == 1)
    client.close()
    #expect(await worker.terminate() == .exited(0))
    await containerd.kill()
  }

  /// Its streams are in the worker's hands, and what is to be known of it is written down.
  @Test func aWorkerThatComesWhileContainerdIsAwayGoesOnWithStdio() async throws {
    let containerd = try await PrivateContainerd.start()
    let first = try await WorkerProcess.start(containerd: containerd.address)
    var client = try first.connect()
    if try await client.greeting()["containerd"]["connected"] != true {
      _ = try await client.event("containerd.connected")
    }
    let rootfs = JSON(try await RootFilesystem.busybox())
    try await client.call("container.create", ["container": "c1", "rootfs": rootfs, "args": ["cat"]])
    try await client.call("task.start", ["container": "c1", "stdin": true])
    await containerd.kill()
    first.process.signal(SIGKILL)
    _ = await first.process.wait()
    let worker = try await WorkerProcess.start(
      containerd: containerd.address, socket: first.socket, stateDirectory: first.stateDirectory,
      namespace: first.namespace)
    client = try worker.connect()
    #expect(try await client.greeting()["containerd"]["connected"] == false)
    try await client.call("stdio.attach", ["container": "c1"])
    try await client.call("stdio.write", ["container": "c1", "text": "hello\n"])
    try await client.text("hello\n", of: "c1")
    try await client.call("stdio.close", ["container": "c1"])
    try await containerd.start()
    #expect(try await client.event("process.closed", container: "c1")["exit_code"] == 0)
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await worker.terminate() == .exited(0))
    await containerd.kill()
  }

  // MARK: - Other workers

  @Test func aWorkerTakesOverExecsOfOneThatWasKilled() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["cat"], stdin: true)
    for (exec, script) in [("e1", "cat; exit 4"), ("e2", "read x; exit 5")] {
      try await bed.client.call(
        "process.exec",
        [
          "container": "c1", "process": JSON(exec), "args": ["sh", "-c", JSON(script)], "stdin": true,
          "attach": [:],
        ])
    }
    bed.worker.process.signal(SIGKILL)
    _ = await bed.worker.process.wait()
    let next = try await WorkerProcess.start(
      containerd: bed.containerd.address, stateDirectory: bed.worker.stateDirectory,
      namespace: bed.worker.namespace)
    let client = try next.connect()
    let found = try await client.call("container.inspect", ["container": "c1"])
    #expect(found["processes"].array?.compactMap { $0["process"].string } == ["init", "e1", "e2"])
    for (process, code) in [("e1", 4), ("init", 0)] {
      let target: JSON = ["container": "c1", "process": JSON(process)]
      if process == "init" {
        try await client.call("process.kill", ["container": "c1", "process": "e2", "signal": 9])
      }
      try await client.call("stdio.attach", target)
      try await client.call("stdio.write", target.merging(["text": "after"]))
      try await client.call("stdio.close", target)
      let closed = try await client.event("process.closed", container: "c1", process: process)
      #expect(closed["exit_code"].int == code)
      #expect(try client.output("c1", process) == Array("after".utf8))
    }
    #expect(try await client.event("process.exited", container: "c1", process: "e2")["exit_code"] == 137)
    #expect(try await client.call("process.delete", ["container": "c1", "process": "e1"])["exit_code"] == 4)
    try await client.call("container.delete", ["container": "c1", "force": true])
    #expect(try FileManager.default.contentsOfDirectory(atPath: next.stateDirectory + "/bundles") == [])
    client.close()
    #expect(await next.terminate() == .exited(0))
  }
}
