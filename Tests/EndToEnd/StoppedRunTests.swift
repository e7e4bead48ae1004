import TestSupport
import Testing

/// Runs that are cancelled, which ends their containers.
@Suite(.serialized)
struct StoppedRunTests {
  private func sleeping(_ bed: TestBed) -> JSON {
    ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]]
  }

  @Test func aRunThatWasStoppedIsNotRepeated() async throws {
    let bed = try await TestBed.start()
    let command = sleeping(bed)
    let first = bed.client.post("run", command, extra: ["key": "k"])
    _ = try await bed.client.event("task.started", container: "c1")
    // Who joins and goes again cannot know what becomes of it.
    let other = try bed.worker.connect()
    let joined = try await other.error("run", command, extra: ["key": "k", "deadline_ms": 10])
    #expect(joined["code"] == "deadline_exceeded" && joined["effect"] == "unknown")
    try await bed.client.call("cancel", ["target": JSON(first)])
    let stopped = try await bed.client.reply(to: first)["error"]
    #expect(stopped["code"] == "cancelled" && stopped["effect"] == "done")
    #expect(try await other.error("run", command, extra: ["key": "k"]) == stopped)
    #expect(bed.client.history().count { $0["event"].string == "container.created" } == 1)
    other.close()
    try await bed.finish()
  }

  /// Its process has ended: that takes the longer the busier the machine is.
  @Test func aStoppedRunHasItsTimeToClearAway() async throws {
    let bed = try await TestBed.start()
    let runc = try await WrappedRunc.holdingDeletion()
    let command = sleeping(bed).merging(["runtime": runc.runtime])
    let first = bed.client.post("run", command)
    _ = try await bed.client.event("task.started", container: "c1")
    try await bed.client.call("cancel", ["target": JSON(first)])
    let gate = try await runc.heldDeletion()
    // Longer than other commands have.
    try await Task.sleep(for: .milliseconds(2100))
    gate.close()
    #expect(try await bed.client.reply(to: first)["error"]["effect"] == "done")
    try await bed.finish()
  }

  /// As it has when it is stopped only then.
  @Test func aRunThatHasEndedHasItToo() async throws {
    let bed = try await TestBed.start()
    let runc = try await WrappedRunc.holdingDeletion()
    let command = sleeping(bed).merging(["args": ["false"], "runtime": runc.runtime])
    let run = bed.client.post("run", command)
    let gate = try await runc.heldDeletion()
    try await bed.client.call("cancel", ["target": JSON(run)])
    try await Task.sleep(for: .milliseconds(2100))
    gate.close()
    #expect(try await bed.client.result(of: run)["exit_code"] == 1)
    try await bed.finish()
  }

  /// Sent again while the stopped one still clears away, it waits for what that one says in the end.
  @Test func aRunThatIsClearedAwayAfterItsReplyIsNotRepeated() async throws {
    let bed = try await TestBed.start()
    let runc = try await WrappedRunc.holdingDeletion()
    let command = sleeping(bed).merging(["runtime": runc.runtime])
    let first = bed.client.post("run", command, extra: ["key": "k"])
    _ = try await bed.client.event("task.started", container: "c1")
    try await bed.client.call("cancel", ["target": JSON(first)])
    let gate = try await runc.heldDeletion()
    #expect(try await bed.client.reply(to: first)["error"]["effect"] == "unknown")
    let second = bed.client.post("run", command, extra: ["key": "k", "deadline_ms": 5000])
    // It is in the queue by now.
    try await bed.client.call("ping")
    gate.close()
    let reply = try await bed.client.reply(to: second)["error"]
    #expect(reply["code"] == "cancelled" && reply["effect"] == "done")
    #expect(bed.client.history().count { $0["event"].string == "container.created" } == 1)
    try await bed.finish()
  }
}
