import Foundation
import Glibc
import Testing
import TestSupport

/// Other clients' tasks, also over restarts of the worker.
@Suite(.serialized)
struct OthersTests {
  /// Another exec of the same name.
  private func restart(_ exec: String, of client: LineClient) async throws {
    let target: JSON = ["container": "runs", "process": JSON(exec)]
    try await client.call("process.kill", target.merging(["signal": "KILL"]))
    _ = try await client.event("process.closed", container: "runs", process: exec)
    try await client.call("process.delete", target)
    try await client.call("process.exec", target.merging(["args": ["sleep", "1000"]]))
  }

  @Test func whatBecameOfThemMeanwhileIsToldOnce() async throws {
    var life = Life(try await TestBed.start())
    let other = try await life.bed.startOther()
    let theirs = try other.connect()
    for id in ["runs", "ended", "deleted", "gone"] {
      try await theirs.call(
        "container.create",
        ["container": JSON(id), "rootfs": JSON(life.bed.rootfs), "args": ["sleep", "1000"]])
      try await theirs.call("task.start", ["container": JSON(id)])
    }
    for exec in ["stays", "goes", "over", "again"] {
      try await theirs.call(
        "process.exec", ["container": "runs", "process": JSON(exec), "args": ["sleep", "1000"]])
      _ = try await life.client.event("process.started", container: "runs", process: exec)
    }
    let over: JSON = ["container": "runs", "process": "over", "signal": "KILL"]
    try await theirs.call("process.kill", over)
    _ = try await life.client.event("process.closed", container: "runs", process: "over")
    await life.die()

    try await theirs.call("process.kill", ["container": "runs", "process": "goes", "signal": "KILL"])
    _ = try await theirs.event("process.closed", container: "runs", process: "goes")
    try await theirs.call("process.delete", ["container": "runs", "process": "goes"])
    try await restart("again", of: theirs)
    try await theirs.call(
      "process.exec", ["container": "runs", "process": "new", "args": ["sleep", "1000"]])
    try await theirs.call("process.kill", ["container": "ended", "signal": "KILL"])
    _ = try await theirs.event("process.closed", container: "ended")
    try await theirs.call("task.delete", ["container": "deleted", "force": true])
    try await theirs.call("container.delete", ["container": "gone", "force": true])

    try await life.comeAgain()
    for id in ["deleted", "gone"] { _ = try await life.client.event("task.deleted", container: id) }
    #expect(try await life.client.event("process.closed", container: "ended")["exit_code"] == 137)
    _ = try await life.client.event("process.closed", container: "runs", process: "goes")
    let ends = life.events("process.exited").map {
      "\($0["container"].string ?? "") \($0["process"].string ?? "") \($0["source"].string ?? "")"
    }
    #expect(
      Set(ends) == [
        "runs goes lost", "runs again lost", "ended init reconcile", "deleted init lost", "gone init lost",
      ])
    #expect(ends.count == 5)
    // Nobody was told that it was created.
    #expect(life.events("container.deleted").isEmpty)

    // The next worker has nothing new to tell.
    await life.die()
    try await life.comeAgain()
    for exec in ["stays", "again", "new"] {
      try await life.client.call(
        "process.kill", ["container": "runs", "process": JSON(exec), "signal": "KILL"])
      let closed = try await life.client.event("process.closed", container: "runs", process: exec)
      #expect(closed["exit_code"] == 137)
    }
    #expect(life.events("process.exited").count == 3)
    for id in ["runs", "ended", "deleted"] {
      try await theirs.call("container.delete", ["container": JSON(id), "force": true])
    }
    for id in ["runs", "ended"] { _ = try await life.client.event("task.deleted", container: id) }
    theirs.close()
    #expect(await other.terminate() == .exited(0))
    try await life.finish()
  }

  @Test func anotherClientsTaskInThePlaceOfOursIsLeftAlone() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["sleep", "1000"])
    await life.die()
    let other = try await life.bed.startOther()
    let theirs = try other.connect()
    try await theirs.call("task.delete", ["container": "c1", "force": true])
    let pid = try await theirs.call("task.start", ["container": "c1"])["pid"]
    try await life.comeAgain()
    #expect(try await life.client.event("process.exited", container: "c1")["source"] == "lost")
    _ = try await life.client.event("task.deleted", container: "c1")
    let status = try await life.client.call("process.status", ["container": "c1"])
    #expect(status["pid"] == pid && status["status"] == "running")
    try await theirs.call("task.delete", ["container": "c1", "force": true])
    theirs.close()
    #expect(await other.terminate() == .exited(0))
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }

  @Test func anotherClientsTaskIsSeenAndServed() async throws {
    let bed = try await TestBed.start()
    let other = try await bed.startOther()
    let theirs = try other.connect()
    let client = bed.client
    _ = try await theirs.greeting()
    try await theirs.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["cat"]])
    try await theirs.call("task.start", ["container": "c1", "stdin": true])
    let started = try await client.event("task.started", container: "c1")
    for exec in ["e1", "e2"] {
      try await theirs.call(
        "process.exec", ["container": "c1", "process": JSON(exec), "args": ["cat"], "stdin": true])
      _ = try await client.event("process.started", container: "c1", process: exec)
    }
    let found = try await client.call("container.inspect", ["container": "c1"])
    #expect(found["task"]["pid"] == started["pid"])
    #expect(found["processes"].array?.count == 3)
    // Both see an end, each once; the exec stays for its owner to delete.
    try await client.call("process.kill", ["container": "c1", "process": "e2", "signal": "KILL"])
    #expect(try await client.event("process.closed", container: "c1", process: "e2")["exit_code"] == 137)
    #expect(try await theirs.event("process.closed", container: "c1", process: "e2")["exit_code"] == 137)
    #expect(
      try await theirs.call("process.delete", ["container": "c1", "process": "e2"])["exit_code"] == 137)
    // The other client goes; its containers do not.
    other.process.signal(SIGKILL)
    _ = await other.process.wait()
    for process in ["e1", "init"] {
      let target: JSON = ["container": "c1", "process": JSON(process)]
      try await client.call("stdio.attach", target)
      try await client.call("stdio.write", target.merging(["text": JSON("for \(process)")]))
      try await client.call("stdio.close", target)
      #expect(try await client.event("process.closed", container: "c1", process: process)["exit_code"] == 0)
      #expect(try client.output("c1", process) == Array("for \(process)".utf8))
    }
    #expect(try await client.call("process.delete", ["container": "c1", "process": "e1"])["exit_code"] == 0)
    #expect(try await client.call("task.delete", ["container": "c1"])["exit_code"] == 0)
    try await client.call("container.delete", ["container": "c1"])
    let events = client.history().filter {
      $0["container"] == "c1" && $0["process"].string ?? "init" == "init"
    }
    .compactMap { $0["event"].string }.filter { !$0.hasPrefix("stdio") }
    #expect(
      events == [
        "task.created", "task.started", "process.exited", "process.closed", "task.deleted",
        "container.deleted",
      ])
    // What the other client made is not ours to remove.
    #expect(FileManager.default.fileExists(atPath: other.stateDirectory + "/bundles/c1/init-stdout"))
    theirs.close()
    try await bed.finish()
  }

  @Test func anotherClientsDeletionIsTold() async throws {
    let bed = try await TestBed.start()
    let other = try await bed.startOther()
    let theirs = try other.connect()
    try await bed.startContainer("c1", ["sleep", "1000"])
    try await theirs.call("container.delete", ["container": "c1", "force": true])
    #expect(try await bed.client.event("process.closed", container: "c1")["exit_code"] == 137)
    _ = try await bed.client.event("task.deleted", container: "c1")
    #expect(try await bed.client.error("process.status", ["container": "c1"])["code"] == "not_found")
    #expect(try await bed.client.error("container.delete", ["container": "c1"])["code"] == "not_found")
    theirs.close()
    #expect(await other.terminate() == .exited(0))
    try await bed.finish()
  }
}
