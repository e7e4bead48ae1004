import Foundation
import Testing
import TestSupport

/// What is done with a task that runs.
@Suite(.serialized)
struct TaskTests {
  @Test func pauseFreezesAndResumeGoesOn() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    try await bed.startContainer("c1", ["cat"], stdin: true)
    try await client.call("task.pause", ["container": "c1"])
    _ = try await client.event("task.paused", container: "c1")
    #expect(try await client.call("process.status", ["container": "c1"])["status"] == "paused")
    #expect(try await client.call("container.inspect", ["container": "c1"])["task"]["status"] == "paused")
    #expect(try await client.error("task.pause", ["container": "c1"])["code"] == "wrong_state")
    let exec = try await client.error("process.exec", ["container": "c1", "process": "e1", "args": ["true"]])
    #expect(exec["code"] == "wrong_state")
    // It is kept while nobody can read it.
    try await client.call("stdio.write", ["container": "c1", "text": "while paused"])
    try await client.call("task.resume", ["container": "c1"])
    _ = try await client.event("task.resumed", container: "c1")
    #expect(try await client.error("task.resume", ["container": "c1"])["code"] == "wrong_state")
    try await client.call("stdio.close", ["container": "c1"])
    #expect(try await client.event("process.closed", container: "c1")["exit_code"] == 0)
    #expect(try client.output("c1") == Array("while paused".utf8))
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aPausedTaskCanBeKilled() async throws {
    let bed = try await TestBed.start()
    for (id, command, arguments) in [
      ("c1", "process.kill", ["container": "c1", "signal": "KILL"]),
      ("c2", "container.delete", ["container": "c2", "force": true]),
    ] as [(String, String, JSON)] {
      try await bed.startContainer(id, ["sleep", "1000"])
      try await bed.client.call("task.pause", ["container": JSON(id)])
      try await bed.client.call(command, arguments)
      let exited = try await bed.client.event("process.exited", container: id)
      #expect(exited["exit_code"] == 137)
      #expect(exited["oom"] == false)
    }
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func newLimitsShowInTheCgroupAndInStats() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    try await bed.client.call(
      "task.update",
      [
        "container": "c1",
        "resources": [
          "memory": ["limit": 67_108_864], "cpu": ["quota": 50000, "period": 100_000], "pids": ["limit": 77],
        ],
      ])
    let stats = try await bed.client.call("task.stats", ["container": "c1"])["containers"]["c1"]
    #expect(stats["memory"]["limit_bytes"] == 67_108_864)
    #expect(stats["pids"]["limit"] == 77)
    let pid = try #require(try await bed.client.call("process.status", ["container": "c1"])["pid"].int)
    #expect(
      try CGroup.value(of: pid, v1: ("memory", "memory.limit_in_bytes"), v2: "memory.max") == "67108864")
    #expect(try CGroup.value(of: pid, v1: ("pids", "pids.max"), v2: "pids.max") == "77")
    let quota = try CGroup.value(of: pid, v1: ("cpu", "cpu.cfs_quota_us"), v2: "cpu.max")
    #expect(quota.hasPrefix("50000"))
    for wrong in [["memory": ["limit": "much"]], ["memory": 7]] as [JSON] {
      #expect(try await bed.client.error("task.update", ["container": "c1", "resources": wrong]).has("code"))
    }
    #expect(try await bed.client.error("task.update", ["container": "c1"])["code"] == "missing_argument")
    // The shim has survived all that.
    #expect(try await bed.client.call("process.status", ["container": "c1"])["status"] == "running")
    try await bed.remove("c1")
    #expect(
      try await bed.client.error("task.update", ["container": "c1", "resources": [:]])["code"] == "not_found")
    try await bed.finish()
  }

  @Test func statsOfManyAreOneCallAndTellARate() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    try await bed.startContainer("busy", ["sh", "-c", "while :; do :; done"])
    try await bed.startContainer("idle", ["sleep", "1000"])
    let before = try await client.call("worker.status")["rpc"]["Tasks/Metrics"].int ?? 0
    let first = try await client.call("task.stats", ["containers": ["busy", "idle"]])["containers"]
    #expect(first["busy"]["cpu"]["cores"].isNull)
    #expect((first["idle"]["memory"]["usage_bytes"].int ?? 0) > 0)
    // Of runc itself some threads may still be there.
    #expect((first["idle"]["pids"]["current"].int ?? 0) >= 1)
    // Something that takes a while, so that there is an interval to speak of.
    #expect(try await bed.run("c1", ["true"])["exit_code"] == 0)
    let second = try await client.call("task.stats")["containers"]
    let busy = second["busy"]["cpu"]
    #expect((busy["cores"].double ?? 0) > 0.05)
    #expect((second["idle"]["cpu"]["cores"].double ?? 1) < 0.05)
    let (used, interval) = (
      (busy["usage_ns"].int ?? 0) - (first["busy"]["cpu"]["usage_ns"].int ?? 0), busy["interval_ns"].int ?? 1
    )
    #expect(abs(Double(used) / Double(interval) - (busy["cores"].double ?? 0)) < 0.001)
    #expect((try await client.call("worker.status")["rpc"]["Tasks/Metrics"].int ?? 0) == before + 2)

    let some = try await client.call("task.stats", ["containers": ["idle", "nobody"]])
    #expect(some["containers"].has("idle"))
    #expect(some["failed"]["nobody"]["code"] == "not_found")
    #expect(try await client.error("task.stats", ["container": "nobody"])["code"] == "not_found")
    try await bed.remove("busy")
    try await bed.remove("idle")
    try await bed.finish()
  }

  @Test func processesAreListedWithTheirExec() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let exec = try await bed.client.call(
      "process.exec",
      ["container": "c1", "process": "e1", "args": ["sh", "-c", "sleep 999 & echo $!; wait"], "attach": [:]])
    _ = try await bed.client.output(of: "c1", "e1", atLeast: 2)
    let listed = try await bed.client.call("task.processes", ["container": "c1"])["processes"].array ?? []
    let initial = try await bed.client.call("process.status", ["container": "c1"])["pid"]
    #expect(listed.count == 3)
    #expect(listed.contains(["pid": initial, "process": "init"]))
    #expect(listed.contains(["pid": exec["pid"], "process": "e1"]))
    #expect(listed.count { $0["process"].isNull } == 1)
    #expect(try await bed.client.error("task.processes", ["container": "nobody"])["code"] == "not_found")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func anOutOfMemoryKillIsOnTheExit() async throws {
    let bed = try await TestBed.start()
    // tail keeps what it has not seen the end of a line of.
    let closed = try await bed.client.call(
      "run",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "args": ["tail", "/dev/zero"],
        "resources": ["memory": ["limit": 16_777_216, "swap": 16_777_216]],
      ])
    #expect(closed["exit_code"] == 137)
    #expect(closed["oom"] == true)
    // A killed exec, and then an ordinary kill in the same container.
    try await bed.client.call(
      "container.create",
      [
        "container": "c2", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"],
        "resources": ["memory": ["limit": 16_777_216, "swap": 16_777_216]],
      ])
    try await bed.client.call("task.start", ["container": "c2"])
    try await bed.client.call(
      "process.exec", ["container": "c2", "process": "e1", "args": ["tail", "/dev/zero"]])
    let exec = try await bed.client.event("process.exited", container: "c2", process: "e1")
    #expect(exec["exit_code"] == 137)
    #expect(exec["oom"] == true)
    // The event may be late, and does not come at all for a task that is deleted before (seen with 1.7).
    _ = try await bed.client.event("task.oom", container: "c2")
    try await bed.client.call(
      "process.exec", ["container": "c2", "process": "e2", "args": ["sh", "-c", "kill -9 $$"]])
    let killed = try await bed.client.event("process.exited", container: "c2", process: "e2")
    #expect(killed["exit_code"] == 137)
    #expect(killed["oom"] == false)
    try await bed.remove("c2")
    try await bed.finish()
  }
}
