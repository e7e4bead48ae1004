import Foundation
import Glibc
import Testing
import TestSupport

/// What ends with its connection or its process, and what was being ended, when the worker is killed.
@Suite(.serialized)
struct EndingTests {
  /// A person's `run` ends with its connection, also when that ends with the worker.
  @Test func whatEndsWithItsConnectionEndsWithItsWorker() async throws {
    var life = Life(try await TestBed.start())
    life.client.post(
      "run", ["container": "c1", "rootfs": JSON(life.bed.rootfs), "args": ["sleep", "1000"]])
    _ = try await life.client.event("task.started", container: "c1")
    await life.die()
    try await life.comeAgain()
    _ = try await life.client.event("container.deleted", container: "c1")
    #expect(try await life.bed.containerd.remainingShims(of: life.worker.namespace) == [])
    try await life.finish()
  }

  /// Its container says so, too: not all that a worker wrote down is there for the next one.
  @Test func whatEndsWithItsConnectionEndsAlsoWhenTheJournalIsLost() async throws {
    var life = Life(try await TestBed.start())
    life.client.post(
      "run", ["container": "c1", "rootfs": JSON(life.bed.rootfs), "args": ["sleep", "1000"]])
    _ = try await life.client.event("task.started", container: "c1")
    await life.die()
    try await life.comeAgainWithoutJournal()
    _ = try await life.client.event("container.deleted", container: "c1")
    #expect(try await life.bed.containerd.remainingShims(of: life.worker.namespace) == [])
    try await life.finish()
  }

  /// What does not end with its connection goes on without the worker that began it, and ends with its process.
  @Test(arguments: [SIGKILL, SIGTERM]) func aRunThatIsKeptGoesOn(signal: Int32) async throws {
    var life = Life(try await TestBed.start())
    let run: JSON = [
      "container": "c1", "rootfs": JSON(life.bed.rootfs), "args": ["sleep", "1000"], "on_disconnect": "keep",
    ]
    let first = life.client.post("run", run, extra: ["key": "k"])
    _ = try await life.client.event("task.started", container: "c1")
    life.worker.process.signal(signal)
    _ = await life.worker.process.wait()
    if signal == SIGTERM {
      let error = try await life.client.reply(to: first)["error"]
      #expect(error["code"] == "shutting_down" && error["effect"] == "unknown")
    }
    try await life.comeAgain()
    let again = life.client.post("run", run, extra: ["key": "k"])
    try await life.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    #expect(try await life.client.result(of: again)["exit_code"] == 137)
    _ = try await life.client.event("container.deleted", container: "c1")
    #expect(try await life.bed.containerd.remainingShims(of: life.worker.namespace) == [])
    try await life.finish()
  }

  /// containerd 1.6 forgot the task then, and its shim stayed and held the id.
  @Test func aTaskDeletionThatWasCutShortLeavesNoShim() async throws {
    var life = Life(try await TestBed.start())
    for round in 0..<10 {
      let id = JSON("c\(round)")
      try await life.client.call(
        "container.create", ["container": id, "rootfs": JSON(life.bed.rootfs), "args": ["sleep", "1000"]])
      try await life.client.call("task.start", ["container": id])
      try await life.client.call("process.kill", ["container": id, "signal": "KILL"])
      _ = try await life.client.event("process.closed", container: "c\(round)")
      life.client.post("task.delete", ["container": id])
      try await Task.sleep(for: .milliseconds(4 * round))
      await life.die()
      try await life.comeAgain()
      let reply = try await life.client.reply(to: life.client.post("task.delete", ["container": id]))
      #expect(!reply.has("error") || reply["error"]["code"] == "not_found")
      try await life.client.call("task.start", ["container": id])
      try await life.bed.removeWith(life.client, "c\(round)")
    }
    #expect(try await life.bed.containerd.remainingShims(of: life.worker.namespace) == [])
    try await life.finish()
  }

  /// A container whose task has ended, and runc, which holds its deletion up.
  private func containerWithHeldDeletion(_ bed: TestBed) async throws -> WrappedRunc {
    let runc = try await WrappedRunc.holdingDeletion()
    try await bed.client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"],
        "runtime": runc.runtime,
      ])
    try await bed.client.call("task.start", ["container": "c1"])
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    _ = try await bed.client.event("process.closed", container: "c1")
    return runc
  }

  /// The shim brings it to its end after the next worker has come, and containerd keeps the shim.
  @Test(arguments: [0, 300]) func aTaskDeletionThatEndsAfterItsWorkerHoldsNoName(milliseconds: Int)
    async throws
  {
    var life = Life(try await TestBed.start())
    let runc = try await containerWithHeldDeletion(life.bed)
    life.client.post("task.delete", ["container": "c1"])
    let gate = try await runc.heldDeletion()
    await life.die()
    try await life.startNext()
    let epoch = try await life.client.greeting()["epoch"]
    try await life.client.call("events.subscribe", ["from": ["epoch": epoch, "seq": 0]])
    // Before or after it has asked for the task, whose shim answers only then.
    try await Task.sleep(for: .milliseconds(milliseconds))
    gate.close()
    _ = try await life.client.event("task.deleted", container: "c1")
    try await life.client.call("task.start", ["container": "c1"])
    try await life.bed.removeWith(life.client, "c1")
    #expect(try await life.bed.containerd.remainingShims(of: life.worker.namespace) == [])
    try await life.finish()
  }

  /// So it is with one that another client asked for and did not live to see.
  @Test func anothersTaskDeletionThatWasCutShortHoldsNoName() async throws {
    let bed = try await TestBed.start()
    let runc = try await containerWithHeldDeletion(bed)
    let other = try await bed.startOther()
    let client = try other.connect()
    client.post("task.delete", ["container": "c1"])
    let gate = try await runc.heldDeletion()
    other.process.signal(SIGKILL)
    _ = await other.process.wait()
    client.close()
    gate.close()
    _ = try await bed.client.event("task.deleted", container: "c1")
    try await bed.client.call("task.start", ["container": "c1"])
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// containerd is away just when an exec that has ended is to be deleted there.
  @Test func anExecWhoseDeletionFailsIsDeletedLater() async throws {
    let containerd = try await PrivateContainerd.start()
    let worker = try await WorkerProcess.start(containerd: containerd.address)
    let client = try worker.connect()
    let rootfs = JSON(try await RootFilesystem.busybox())
    try await client.call(
      "container.create", ["container": "c1", "rootfs": rootfs, "args": ["sleep", "1000"]])
    try await client.call("task.start", ["container": "c1"])
    // Its end waits for who reads it.
    let exec: JSON = [
      "container": "c1", "process": "e1", "args": ["seq", "1000"],
      "attach": ["streams": ["stdout"], "window": 80],
    ]
    try await client.call("process.exec", exec)
    _ = try await client.event("process.exited", process: "e1")
    await containerd.kill()
    _ = try await client.event("containerd.disconnected")
    try await client.call(
      "stdio.credit", ["container": "c1", "process": "e1", "stream": "stdout", "offset": 1_000_000])
    _ = try await client.event("process.closed", process: "e1")
    while try await client.call("worker.status")["rpc"]["Tasks/DeleteProcess"] == nil {}
    let deletion = client.post("process.delete", ["container": "c1", "process": "e1"])
    try await containerd.start()
    #expect(try await client.result(of: deletion)["exit_code"] == 0)
    try await client.call("process.exec", exec)
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await worker.terminate() == .exited(0))
    await containerd.kill()
  }

  @Test func aRunThatIsKeptCanBeCancelledWhileItsWorkerStops() async throws {
    let bed = try await TestBed.start()
    let run = bed.client.post(
      "run",
      ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"], "on_disconnect": "keep"])
    _ = try await bed.client.event("task.started", container: "c1")
    bed.worker.process.signal(SIGTERM)
    _ = try await bed.client.event("worker.draining")
    try await bed.client.call("cancel", ["target": JSON(run)])
    let error = try await bed.client.reply(to: run)["error"]
    #expect(error["code"] == "cancelled" && error["effect"] == "done")
    _ = try await bed.client.event("container.deleted", container: "c1")
    try await bed.finish()
  }

  /// What the next worker clears away may be just what is asked for again.
  @Test(arguments: ["keep", "kill"]) func aRunThatWasCutShortRunsWithItsKey(mode: String) async throws {
    var life = Life(try await TestBed.start())
    for round in 0..<5 {
      let run: JSON = [
        "container": JSON("c\(round)"), "rootfs": JSON(life.bed.rootfs), "args": ["true"],
        "on_disconnect": JSON(mode),
      ]
      let key: JSON = ["key": JSON("k\(round)")]
      life.client.post("run", run, extra: key)
      _ = try await life.client.event("container.created", container: "c\(round)")
      await life.die()
      try await life.startNext()
      let reply = try await life.client.reply(to: life.client.post("run", run, extra: key))
      #expect(
        reply["result"]["exit_code"] == 0 || reply["error"]["effect"] == "unknown", "\(reply)")
    }
    try await life.finish()
  }
}
