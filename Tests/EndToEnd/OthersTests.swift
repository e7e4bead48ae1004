import Glibc
import Testing
import TestSupport

/// Other clients' tasks, over restarts of the worker.
@Suite(.serialized)
struct OthersTests {
  @Test func whatBecameOfThemMeanwhileIsToldOnce() async throws {
    var life = Life(try await TestBed.start())
    // Another worker with a state directory of its own is another client.
    let other = try await WorkerProcess.start(
      containerd: life.bed.containerd.address, namespace: life.worker.namespace)
    let theirs = try other.connect()
    for id in ["runs", "ended", "deleted", "gone"] {
      try await theirs.call(
        "container.create",
        ["container": JSON(id), "rootfs": JSON(life.bed.rootfs), "args": ["sleep", "1000"]])
      try await theirs.call("task.start", ["container": JSON(id)])
    }
    for exec in ["stays", "goes", "over"] {
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
    try await theirs.call("process.kill", ["container": "ended", "signal": "KILL"])
    _ = try await theirs.event("process.closed", container: "ended")
    try await theirs.call("task.delete", ["container": "deleted", "force": true])
    try await theirs.call("container.delete", ["container": "gone", "force": true])

    try await life.comeAgain()
    for id in ["deleted", "gone"] { _ = try await life.client.event("task.deleted", container: id) }
    #expect(try await life.client.event("process.closed", container: "ended")["exit_code"] == 137)
    _ = try await life.client.event("process.closed", container: "runs", process: "goes")
    let ends = life.client.history().filter { $0["event"] == "process.exited" }.map {
      "\($0["container"].string ?? "") \($0["process"].string ?? "") \($0["source"].string ?? "")"
    }
    #expect(
      Set(ends) == ["runs goes lost", "ended init reconcile", "deleted init lost", "gone init lost"])
    #expect(ends.count == 4)
    // Nobody was told that it was created.
    #expect(!life.client.history().contains { $0["event"] == "container.deleted" })

    // The next worker has nothing new to tell.
    await life.die()
    try await life.comeAgain()
    try await life.client.call("process.kill", ["container": "runs", "process": "stays", "signal": "KILL"])
    _ = try await life.client.event("process.closed", container: "runs", process: "stays")
    #expect(life.client.history().count { $0["event"] == "process.exited" } == 1)
    for id in ["runs", "ended", "deleted"] {
      try await theirs.call("container.delete", ["container": JSON(id), "force": true])
    }
    for id in ["runs", "ended"] { _ = try await life.client.event("task.deleted", container: id) }
    theirs.close()
    #expect(await other.terminate() == .exited(0))
    try await life.finish()
  }
}
