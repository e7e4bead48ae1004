import Foundation
import Testing
import TestSupport

/// Commands with an idempotency key.
@Suite(.serialized)
struct KeyTests {
  private func creation(_ bed: TestBed, _ id: String, _ args: [String]) -> JSON {
    ["container": JSON(id), "rootfs": JSON(bed.rootfs), "args": JSON(args)]
  }

  @Test func aRepeatedCommandGetsTheStoredReply() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    let create = creation(bed, "c1", ["sh", "-c", "exit 4"])
    let first = try await client.call("container.create", create, extra: ["key": "k1"])
    #expect(try await client.call("container.create", create, extra: ["key": "k1"]) == first)
    // From another connection too, and errors as they were.
    let other = try bed.worker.connect()
    #expect(try await other.call("container.create", create, extra: ["key": "k1"]) == first)
    let error = try await client.error("task.delete", ["container": "c1"], extra: ["key": "k2"])
    try await client.call("task.start", ["container": "c1"])
    #expect(try await other.error("task.delete", ["container": "c1"], extra: ["key": "k2"]) == error)
    #expect(
      try await client.error("container.delete", ["container": "c1"], extra: ["key": "k1"])["code"]
        == "key_conflict")
    try await client.call("container.delete", ["container": "c1", "force": true], extra: ["key": "k3"])
    try await client.call("container.create", create)
    try await client.call("container.delete", ["container": "c1", "force": true], extra: ["key": "k3"])
    // That one was done already.
    try await client.call("container.inspect", ["container": "c1"])
    try await bed.remove("c1")
    other.close()
    try await bed.finish()
  }

  @Test func whatComesMeanwhileJoins() async throws {
    let bed = try await TestBed.start()
    let other = try bed.worker.connect()
    let run = creation(bed, "c1", ["sh", "-c", "sleep 0.3; echo once"])
    let (one, two) = (
      bed.client.post("run", run, extra: ["key": "k"]), other.post("run", run, extra: ["key": "k"])
    )
    let result = try await bed.client.result(of: one)
    #expect(try await other.result(of: two) == result)
    #expect(result["exit_code"] == 0)
    #expect(bed.client.history().count { $0["event"].string == "container.created" } == 1)
    other.close()
    try await bed.finish()
  }

  /// What was stopped before it did anything is not remembered.
  @Test func whatHadNoEffectRunsWhenItComesAgain() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call("container.create", creation(bed, "c1", ["sleep", "1000"]))
    // It waits behind the start, which takes longer.
    bed.client.post("task.start", ["container": "c1"])
    let deletion: JSON = ["container": "c1", "force": true]
    let error = try await bed.client.error(
      "container.delete", deletion, extra: ["key": "k", "deadline_ms": 1])
    #expect(error["effect"] == "none")
    try await bed.client.call("container.delete", deletion, extra: ["key": "k"])
    #expect(try await bed.client.error("container.inspect", ["container": "c1"])["code"] == "not_found")
    try await bed.finish()
  }

  /// Killed at any moment of a start, the next worker knows whether it was done, and the process runs once.
  @Test func aStartRunsOnceWhateverHappens() async throws {
    let bed = try await TestBed.start()
    let directory = try Sandbox.newDirectory("once")
    let script = "echo x >> /once/$0; sleep 1000"
    var (worker, client) = (bed.worker, bed.client)
    var (done, undone) = (0, 0)
    for round in 0..<6 {
      let id = "c\(round)"
      var create = creation(bed, id, ["sh", "-c", script, id])
      create = create.merging([
        "mounts": [
          ["destination": "/once", "type": "bind", "source": JSON(directory), "options": ["bind", "rw"]]
        ]
      ])
      let (makes, starts): (JSON, JSON) = (["key": JSON("create-\(id)")], ["key": JSON("start-\(id)")])
      client.post("container.create", create, extra: makes)
      client.post("task.start", ["container": JSON(id)], extra: starts)
      // A start takes about 60 ms; the last one is done.
      if round == 5 { _ = try await client.event("task.started", container: id) }
      try await Task.sleep(for: .milliseconds(round % 5 * 14))
      worker.process.signal(SIGKILL)
      _ = await worker.process.wait()
      worker = try await WorkerProcess.start(
        containerd: bed.containerd.address, socket: worker.socket, stateDirectory: worker.stateDirectory,
        namespace: worker.namespace)
      client = try worker.connect()
      try await client.call("container.create", create, extra: makes)
      let before = FileManager.default.fileExists(atPath: "\(directory)/\(id)")
      let reply = try await client.reply(
        to: client.post("task.start", ["container": JSON(id)], extra: starts))
      if reply.has("error") {
        #expect(reply["error"]["effect"] == "unknown", "\(reply)")
        try await client.call("container.delete", ["container": JSON(id), "force": true])
        continue
      }
      let status = try await client.call("process.status", ["container": JSON(id)])
      #expect(status["pid"].int == reply["result"]["pid"].int)
      #expect(status["status"] == "running")
      if before { done += 1 } else { undone += 1 }
      try await until("it has run") { FileManager.default.fileExists(atPath: "\(directory)/\(id)") }
      try await client.call("container.delete", ["container": JSON(id), "force": true])
      #expect(try String(contentsOfFile: "\(directory)/\(id)", encoding: .utf8) == "x\n")
    }
    #expect(done > 0 && undone > 0, "\(done) \(undone)")
    client.close()
    #expect(try await bed.containerd.remainingShims(of: worker.namespace) == [])
    #expect(await worker.terminate() == .exited(0))
  }

  /// A worker that has looked into a start and is killed before it could answer leaves what it has found to the next one.
  @Test func whatWasFoundOutOutlivesAnotherKill() async throws {
    let bed = try await TestBed.start()
    let directory = try Sandbox.newDirectory("twice")
    var (worker, client) = (bed.worker, bed.client)
    let create = creation(bed, "c1", ["sleep", "1000"]).merging([
      "mounts": [
        ["destination": "/once", "type": "bind", "source": JSON(directory), "options": ["bind", "rw"]]
      ]
    ])
    try await client.call("container.create", create)
    try await client.call("task.start", ["container": "c1"])
    for round in 0..<8 {
      let exec: JSON = [
        "container": "c1", "process": JSON("e\(round)"),
        "args": ["sh", "-c", "echo x >> /once/$0", JSON("e\(round)")],
      ]
      let key: JSON = ["key": JSON("exec-\(round)")]
      client.post("process.exec", exec, extra: key)
      _ = try await client.event("process.added", container: "c1", process: "e\(round)")
      try await Task.sleep(for: .milliseconds(round * 2))
      for _ in 1...2 {
        worker.process.signal(SIGKILL)
        _ = await worker.process.wait()
        worker = try await WorkerProcess.start(
          containerd: bed.containerd.address, socket: worker.socket, stateDirectory: worker.stateDirectory,
          namespace: worker.namespace)
        client = try worker.connect()
        if try await client.greeting()["containerd"]["connected"] != true {
          _ = try await client.event("containerd.connected")
        }
      }
      let reply = try await client.reply(to: client.post("process.exec", exec, extra: key))
      if reply.has("error") { #expect(reply["error"]["effect"] == "unknown", "\(reply)") }
      // Behind it, so that it has come to its end, whoever started it.
      try await client.call(
        "process.exec", ["container": "c1", "process": JSON("w\(round)"), "args": ["true"]])
      _ = try await client.event("process.closed", container: "c1", process: "w\(round)")
      let runs = try? String(contentsOfFile: "\(directory)/e\(round)", encoding: .utf8)
      #expect(runs == nil || runs == "x\n")
    }
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await worker.terminate() == .exited(0))
  }

  /// Killed when its container had gone and its result was not written, a run has left nothing but its key.
  @Test func aRunOfWhichNothingIsLeftIsNotRepeated() async throws {
    var life = Life(try await TestBed.start())
    let run = creation(life.bed, "c1", ["sleep", "1000"])
    life.client.post("run", run, extra: ["key": "k"])
    _ = try await life.client.event("task.started", container: "c1")
    await life.die()
    try await life.changeJournal("DELETE FROM processes")
    let other = try await life.bed.startOther()
    let client = try other.connect()
    try await life.bed.removeWith(client, "c1")
    client.close()
    _ = await other.terminate()
    try await life.comeAgain()
    let error = try await life.client.error("run", run, extra: ["key": "k", "deadline_ms": 5000])
    #expect(error["code"] == "cancelled" && error["effect"] == "unknown")
    #expect(life.client.history().allSatisfy { $0["event"] != "task.created" })
    try await life.finish()
  }

  /// What counts is when it was answered, or cut short, however long before it came.
  @Test func aCommandThatTookLongIsRememberedAsLong() async throws {
    var life = Life(try await TestBed.start())
    let kept = creation(life.bed, "c1", ["sleep", "1000"]).merging(["on_disconnect": "keep"])
    let cut = creation(life.bed, "c2", ["sleep", "1000"])
    life.client.post("run", kept, extra: ["key": "kept"])
    life.client.post("run", cut, extra: ["key": "cut"])
    for id in ["c1", "c2"] { _ = try await life.client.event("task.started", container: id) }
    await life.die()
    try await life.changeJournal("UPDATE keys SET time = time - 2 * 3600 * 1000000000")
    try await life.comeAgain()
    let run = life.client.post("run", kept, extra: ["key": "kept"])
    try await life.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    let result = try await life.client.result(of: run)
    await life.die()
    try await life.comeAgain()
    // With a new one those are forgotten that are too old.
    try await life.client.call("container.create", creation(life.bed, "c3", ["true"]), extra: ["key": "new"])
    let again = try await life.client.call("run", kept, extra: ["key": "kept", "deadline_ms": 5000])
    #expect(again == result)
    let error = try await life.client.error("run", cut, extra: ["key": "cut", "deadline_ms": 5000])
    #expect(error["code"] == "cancelled" && error["effect"] == "unknown")
    try await life.bed.removeWith(life.client, "c3")
    try await life.finish()
  }

  @Test func whoWaitsForAReplyNoLongerIsForgotten() async throws {
    let bed = try await TestBed.start()
    let run = creation(bed, "c1", ["sleep", "1000"]).merging([
      "x-ballast": JSON(String(repeating: "x", count: 500_000))
    ])
    let first = bed.client.post("run", run, extra: ["key": "k"])
    _ = try await bed.client.event("task.started", container: "c1")
    func poll(_ count: Int) async throws {
      for _ in 0..<count {
        let error = try await bed.client.error("run", run, extra: ["key": "k", "deadline_ms": 1])
        #expect(error["code"] == "deadline_exceeded")
      }
    }
    try await poll(10)
    let before = bed.worker.residentKiB
    try await poll(40)
    #expect(bed.worker.residentKiB < before + 10_000)
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    #expect(try await bed.client.result(of: first)["exit_code"] == 137)
    try await bed.finish()
  }

  /// containerd has done it, and its answer did not come.
  @Test func aDeletionWhoseAnswerWasLostIsTold() async throws {
    let containerd = try await PrivateContainerd.start()
    let worker = try await WorkerProcess.start(containerd: containerd.address)
    let client = try worker.connect()
    let rootfs = JSON(try await RootFilesystem.busybox())
    try await client.call("container.create", ["container": "c1", "rootfs": rootfs, "args": ["true"]])
    try await containerd.freeze()
    let deletion = client.post(
      "container.delete", ["container": "c1"], extra: ["key": "k", "deadline_ms": 1])
    #expect(try await client.reply(to: deletion)["error"]["effect"] == "unknown")
    containerd.thaw()
    // As another worker on another state directory does it, where it has not been done.
    let other = try await WorkerProcess.start(containerd: containerd.address, namespace: worker.namespace)
    let theirs = try other.connect()
    _ = try await theirs.reply(to: theirs.post("container.delete", ["container": "c1"]))
    try await client.call("container.delete", ["container": "c1"], extra: ["key": "k"])
    _ = try await client.event("container.deleted", container: "c1", seconds: 5)
    #expect(try await client.call("worker.status")["containers"] == 0)
    theirs.close()
    #expect(await other.terminate() == .exited(0))
    client.close()
    #expect(await worker.terminate() == .exited(0))
  }
}
