import Foundation
import Glibc
import Testing
import TestSupport

/// What a worker that was killed leaves to the next one on its state directory.
@Suite(.serialized)
struct AdoptionTests {
  @Test func everythingGoesOn() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["sh", "-c", "read a; echo got $a; exit 3"], stdin: true)
    try await life.client.call(
      "process.exec", ["container": "c1", "process": "e1", "args": ["cat"], "stdin": true, "attach": [:]])
    try await life.client.call("stdio.write", ["container": "c1", "process": "e1", "text": "before\n"])
    try await life.client.text("before\n", of: "c1", "e1")
    await life.die()
    try await life.comeAgain()
    let attached = try await life.client.call(
      "stdio.attach",
      [
        "container": "c1", "process": "e1", "from": ["stdout": 7], "streams": ["stdin", "stdout", "stderr"],
      ])
    #expect(attached["stdin"]["offset"] == 7)
    #expect(attached["stdout"]["offset"] == 7)
    try await life.client.call(
      "stdio.write", ["container": "c1", "process": "e1", "text": "before\nafter\n", "offset": 0])
    try await life.client.call("stdio.close", ["container": "c1", "process": "e1"])
    let closed = try await life.client.event("process.closed", container: "c1", process: "e1")
    #expect(closed["exit_code"] == 0)
    #expect(closed["stdout"] == ["bytes": 13, "end": "eof"])
    #expect(try String(decoding: life.client.output("c1", "e1", from: 7), as: UTF8.self) == "after\n")
    try await life.client.call("stdio.attach", ["container": "c1"])
    try await life.client.call("stdio.write", ["container": "c1", "text": "it\n"])
    let end = try await life.client.event("process.closed", container: "c1", process: "init")
    #expect(end["exit_code"] == 3)
    #expect(try String(decoding: life.client.output("c1"), as: UTF8.self) == "got it\n")
    #expect(try await life.client.call("task.delete", ["container": "c1"])["exit_code"] == 3)
    try await life.client.call("container.delete", ["container": "c1"])
    try await life.finish()
  }

  /// Bytes that the killed worker had read and not delivered are with the next one: not one is lost or comes twice.
  @Test func runningTasksCostNoCallsOfTheirOwn() async throws {
    var life = Life(try await TestBed.start())
    let names = (1...5).map { "c\($0)" }
    for name in names { try await life.bed.startContainer(name, ["sleep", "1000"]) }
    await life.die()
    try await life.comeAgain()
    let calls = try await life.client.call("worker.status")["rpc"]
    #expect(calls["Tasks/List"] == 1)
    #expect(calls["Tasks/Get"] == nil && calls["Containers/Get"] == nil, "\(calls)")
    // What was not asked for is there when it is needed.
    let exec: JSON = ["container": "c1", "process": "e1", "args": ["sh", "-c", "echo $PATH"], "attach": [:]]
    try await life.client.call("process.exec", exec)
    #expect(try await life.client.event("process.closed", process: "e1")["exit_code"] == 0)
    for name in names {
      try await life.client.call("container.delete", ["container": JSON(name), "force": true])
      _ = try await life.client.event("container.deleted", container: name)
    }
    try await life.finish()
  }

  @Test(arguments: [nil, 100_000]) func outputUnderWayIsNotLost(window: Int?) async throws {
    var life = Life(try await TestBed.start())
    let lines = 1_000_000
    let attach: JSON = window.map { ["window": JSON($0)] } ?? [:]
    try await life.client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(life.bed.rootfs), "args": ["seq", JSON("\(lines)")]])
    try await life.client.call("task.start", ["container": "c1", "attach": attach])
    var got: [UInt8] = []
    for _ in 1...6 {
      _ = try await life.client.output(of: "c1", atLeast: 100_000)
      await life.die()
      // With what was on its way to the client.
      try await life.client.ended()
      got += try life.client.output("c1", from: got.count)
      try await life.comeAgain()
      let from: JSON = ["container": "c1", "from": ["stdout": JSON(got.count)]]
      try await life.client.call("stdio.attach", from.merging(attach))
    }
    // With credit for stdout the process ends, and stderr with it.
    for stream in ["stderr", "stdout"] where window != nil {
      try await life.client.call(
        "stdio.credit", ["container": "c1", "stream": JSON(stream), "offset": 1_000_000_000])
    }
    let closed = try await life.client.event("process.closed", container: "c1")
    got += try life.client.output("c1", from: got.count)
    #expect(closed["stdout"] == ["bytes": JSON(got.count), "end": "eof"])
    #expect(got == Array((1...lines).map { "\($0)\n" }.joined().utf8))
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }

  /// The process has ended and its shim has gone from the FIFO; what the worker had no room for is in there.
  @Test func whatIsInAFIFOIsKept() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["sleep", "1000"])
    try await life.client.call(
      "process.exec", ["container": "c1", "process": "e1", "args": ["seq", "60000"]])
    _ = try await life.client.event("process.exited", container: "c1", process: "e1")
    await life.die()
    try await life.comeAgain()
    try await life.client.call("stdio.attach", ["container": "c1", "process": "e1"])
    let closed = try await life.client.event("process.closed", container: "c1", process: "e1")
    let all = Array((1...60000).map { "\($0)\n" }.joined().utf8)
    #expect(all.count > 262_144 && all.count < 262_144 + 196_608)
    #expect(closed["stdout"] == ["bytes": JSON(all.count), "end": "eof"])
    #expect(try life.client.output("c1", "e1") == all)
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }

  /// The last worker's keeper may be about to end while the next one already waits in its queue.
  @Test func aKeeperThatIsAboutToEndIsReplaced() async throws {
    let state = try Sandbox.newDirectory("k")
    let ending = try UnixSocket.listen("\(state)/keeper.sock", SOCK_SEQPACKET)
    async let starting = WorkerProcess.start(
      containerd: PrivateContainerd.shared().address, stateDirectory: state)
    try await offPool {
      var pending = pollfd(fd: ending.rawValue, events: Int16(POLLIN), revents: 0)
      guard poll(&pending, 1, 20_000) == 1 else { throw TestFailure("the worker asked for no keeper") }
      ending.close()
    }
    let worker = try await starting
    let client = try worker.connect()
    try await client.call(
      "run", ["container": "c1", "rootfs": JSON(try await RootFilesystem.busybox()), "args": ["true"]])
    client.close()
    #expect(await worker.terminate() == .exited(0))
    #expect(!worker.log.contains("not kept"))
  }

  /// containerd says of every exec of a paused container that it is paused.
  @Test func anExecThatEndedMeanwhileHasEndedAlsoInAPausedContainer() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["sleep", "1000"])
    let exec: JSON = ["container": "c1", "process": "e1", "args": ["sleep", "1000"]]
    let pid = try await life.client.call("process.exec", exec)["pid"].int ?? 0
    let other = try await life.bed.startOther()
    let theirs = try other.connect()
    // It adopts both, so that it sees the end.
    try await theirs.call("container.inspect", ["container": "c1"])
    await life.die()
    kill(pid_t(pid), SIGKILL)
    _ = try await theirs.event("process.exited", container: "c1", process: "e1")
    try await theirs.call("task.pause", ["container": "c1"])
    try await life.comeAgain()
    #expect(try await life.client.event("process.exited", container: "c1", process: "e1")["exit_code"] == 137)
    try await theirs.call("task.resume", ["container": "c1"])
    theirs.close()
    #expect(await other.terminate() == .exited(0))
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }

  /// An exit that came while nobody was there is told once, by who comes.
  @Test func anExitMeanwhileIsToldOnce() async throws {
    var life = Life(try await TestBed.start())
    for id in ["c1", "c2"] {
      try await life.bed.startContainer(id, ["sh", "-c", "read a; exit 7"], stdin: true)
    }
    try await life.client.call(
      "process.exec", ["container": "c1", "process": "e1", "args": ["sleep", "1000"], "attach": [:]])
    let shim = try #require(
      life.bed.containerd.shimPIDs(of: life.worker.namespace, container: "c2").first)
    let pids = try await life.client.call("task.processes", ["container": "c1"])["processes"].array ?? []
    await life.die()
    for pid in pids where pid["process"].string == "e1" { kill(pid_t(pid["pid"].int ?? 0), SIGKILL) }
    kill(shim, SIGKILL)
    try await life.comeAgain()
    let exec = try await life.client.event("process.exited", container: "c1", process: "e1")
    #expect(exec["exit_code"] == 137)
    #expect(exec["source"] == "reconcile")
    _ = try await life.client.event("process.exited", container: "c2", process: "init")
    _ = try await life.client.event("process.closed", container: "c2", process: "init")
    _ = try await life.client.event("process.closed", container: "c1", process: "e1")
    // Not a second time.
    await life.die()
    try await life.comeAgain()
    #expect(life.client.history().allSatisfy { $0["event"].string != "process.exited" })
    try await life.client.call("stdio.write", ["container": "c1", "text": "x\n"])
    #expect(try await life.client.event("process.closed", container: "c1", process: "init")["exit_code"] == 7)
    try await life.bed.removeWith(life.client, "c1")
    try await life.bed.removeWith(life.client, "c2")
    try await life.finish()
  }

  /// Nor is one that was seen and is not yet written when the worker dies: until then containerd must not forget it.
  @Test func anExitThatIsNotYetWrittenIsNotLost() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["sleep", "1000"])
    let exec: JSON = ["container": "c1", "process": "e1", "args": ["sleep", "1000"], "attach": [:]]
    let pid = try await life.client.call("process.exec", exec)["pid"].int
    let journal = try await StoppedThread.of(life.worker.process, named: "journal")
    kill(try #require(pid.map(pid_t.init)), SIGTERM)
    // Time in which it would be told and deleted.
    try await Task.sleep(for: .milliseconds(500))
    life.worker.process.signal(SIGKILL)
    await journal.release()
    await life.die()
    try #require(life.client.history().allSatisfy { $0["event"] != "process.exited" })
    try await life.comeAgain()
    let exit = try await life.client.event("process.exited", container: "c1", process: "e1")
    #expect(exit["exit_code"] == 143 && exit["source"] == "reconcile")
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }

  @Test func streamsGoOnAlsoWhenTheJournalIsLost() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["cat"], stdin: true)
    try await life.client.call("stdio.write", ["container": "c1", "text": "one\n"])
    try await life.client.text("one\n", of: "c1")
    await life.die()
    try await life.comeAgainWithoutJournal()
    let streams: JSON = ["container": "c1", "streams": ["stdin", "stdout", "stderr"]]
    let attached = try await life.client.call("stdio.attach", streams)
    #expect(attached["stdin"]["offset"] == 4 && attached["stdout"]["offset"] == 4)
    try await life.client.call("stdio.write", ["container": "c1", "text": "two\n", "offset": 4])
    try await life.client.call("stdio.close", ["container": "c1"])
    let closed = try await life.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 8, "end": "eof"] && closed["exit_code"] == 0)
    #expect(try life.client.output("c1", from: 4) == Array("two\n".utf8))
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }
}
