import Glibc
import Testing
import TestSupport

/// A worker that is stopped and started again by a service manager: what clients notice of it.
@Suite(.serialized)
struct ServiceTests {
  // MARK: - Stop

  @Test func whatIsInFlightAtSIGTERMFinishesAndWhatIsNewIsRefused() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    let quiet = try bed.worker.connect()
    let run = client.post(
      "run", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"], "attach": [:]])
    _ = try await client.event("task.started", container: "c1")
    bed.worker.process.signal(SIGTERM)
    _ = try await client.event("worker.draining")
    // Once more does no harm.
    for signal in [SIGTERM, SIGINT, SIGTERM] { bed.worker.process.signal(signal) }
    #expect(try await client.error("container.list")["code"] == "shutting_down")
    #expect(try await client.error("container.delete", ["container": "c1"])["retry"] == "same")
    // Out of band still works, and lets the command end of its own.
    try await client.call("process.kill", ["container": "c1", "signal": "KILL"])
    #expect(try await client.result(of: run)["exit_code"] == 137)
    for client in [client, quiet] { try await client.ended() }
    #expect(client.history().count { $0["event"] == "worker.draining" } == 1)
    #expect(quiet.history().contains { $0["event"] == "process.closed" && $0["container"] == "c1" })
    #expect(await bed.worker.process.wait(seconds: 20) == .exited(0))
    #expect(try await bed.containerd.remainingShims(of: bed.worker.namespace) == [])
  }

  @Test func whatDoesNotEndIsStoppedAndGetsItsReply() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    try await bed.startContainer("hung", ["sleep", "1000"])
    let run = client.post(
      "run", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]])
    _ = try await client.event("task.started", container: "c1")
    let shim = try #require(bed.containerd.shimPIDs(of: bed.worker.namespace, container: "hung").first)
    try await ProcessList.freeze(shim)
    let kill = client.post("process.kill", ["container": "hung", "signal": "KILL"])
    try await client.call("ping")
    bed.worker.process.signal(SIGTERM)
    let stopped = try await client.reply(to: run)["error"]
    #expect(stopped["code"] == "shutting_down")
    #expect(stopped["effect"] == "done")
    // It was on its way to containerd.
    let unsure = try await client.reply(to: kill)["error"]
    #expect(unsure["code"] == "shutting_down")
    #expect(unsure["effect"] == "unknown")
    try await client.ended()
    #expect(await bed.worker.process.wait(seconds: 20) == .exited(0))
    #expect(client.history().contains { $0["event"] == "container.deleted" && $0["container"] == "c1" })
    // Its container stays; the sandbox's end is its end.
    Glibc.kill(shim, SIGCONT)
  }
}
