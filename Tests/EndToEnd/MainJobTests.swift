import Testing
import TestSupport

/// What the program is for: a container's life over the socket.
@Suite(.serialized)
struct MainJobTests {
  @Test func theGreetingComesFirstAndCarriesTheLimits() async throws {
    let bed = try await TestBed.start()
    let client = try bed.worker.connect()
    let hello = try await client.greeting()
    #expect(hello["protocol"] == 1)
    #expect(hello["namespace"].string == bed.worker.namespace)
    #expect(hello["limits"]["line"] == 1_048_576)
    #expect(hello["limits"]["inflight"] == 64)
    #expect(hello["containerd"]["connected"] == true)
    try await bed.finish()
  }

  @Test func aContainerLives() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    let created = try await client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["cat"]])
    #expect(created["bundle"].string?.hasPrefix(bed.worker.stateDirectory) == true)
    let started = try await client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    #expect((started["pid"].int ?? 0) > 1)
    #expect(try await client.call("process.status", ["container": "c1"])["status"] == "running")

    #expect(try await client.call("stdio.write", ["container": "c1", "text": "hello\n"])["offset"] == 6)
    try await client.call(
      "process.exec",
      ["container": "c1", "process": "e1", "args": ["sh", "-c", "echo exec; exit 3"], "attach": [:]])
    let exec = try await client.event("process.closed", container: "c1", process: "e1")
    #expect(exec["exit_code"] == 3)
    #expect(try client.output("c1", "e1") == Array("exec\n".utf8))
    #expect(try await client.call("process.delete", ["container": "c1", "process": "e1"])["exit_code"] == 3)

    try await client.call("stdio.close", ["container": "c1"])
    let closed = try await client.event("process.closed", container: "c1", process: "init")
    #expect(closed["exit_code"] == 0)
    #expect(closed["stdout"] == ["bytes": 6, "end": "eof"])
    #expect(try client.output("c1") == Array("hello\n".utf8))
    #expect(try await client.call("task.delete", ["container": "c1"])["exit_code"] == 0)
    try await client.call("container.delete", ["container": "c1"])
    #expect(try await client.error("container.inspect", ["container": "c1"])["code"] == "not_found")
    try await bed.finish()
  }

  @Test func runIsOneLine() async throws {
    let bed = try await TestBed.start()
    bed.client.sendRaw(
      #"{"command":"run","arguments":{"rootfs":"\#(bed.rootfs)","args":["echo","hi"]}}"# + "\n")
    let line = try await bed.client.line("result") { $0.has("result") && $0["line"].int == 1 }
    let result = line["result"]
    #expect(result["exit_code"] == 0)
    #expect(result["stdout"] == ["bytes": 3, "end": "eof"])
    #expect(try bed.client.output(result["container"].string ?? "") == Array("hi\n".utf8))
    // The result is the last word.
    #expect(bed.client.history().last == line)
    try await bed.finish()
  }

  @Test func eventsOfAProcessAreInOrderAndNumberedWithoutAGap() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["true"])
    _ = try await bed.client.event("process.closed", container: "c1")
    try await bed.client.call("task.delete", ["container": "c1"])
    try await bed.client.call("container.delete", ["container": "c1"])
    let events = bed.client.history().filter { $0.has("seq") && $0["container"].string == "c1" }
    #expect(
      events.map { $0["event"].string } == [
        "container.created", "task.created", "task.started", "process.exited", "process.closed",
        "task.deleted",
        "container.deleted",
      ])
    let numbers = bed.client.history().compactMap { $0["seq"].int }
    #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $1 == $0 + 1 })
    // The reply to the start precedes the exit.
    let history = bed.client.history()
    let reply = history.firstIndex { $0["result"]["process"] == "init" }
    let exit = history.firstIndex { $0["event"] == "process.exited" }
    #expect(try #require(reply) < #require(exit))
    try await bed.finish()
  }

  @Test func killTellsTheSignal() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    #expect(try await bed.client.event("process.exited", container: "c1")["exit_code"] == 137)
    #expect(try await bed.client.error("process.kill", ["container": "c1"])["code"] == "not_found")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func theRPCBudgetHolds() async throws {
    let bed = try await TestBed.start()
    let before = try await bed.client.call("worker.status")["rpc"]
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["cat"]])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true])
    try await bed.client.call("process.exec", ["container": "c1", "process": "e1", "args": ["true"]])
    _ = try await bed.client.event("process.closed", container: "c1", process: "e1")
    try await bed.client.call("process.delete", ["container": "c1", "process": "e1"])
    try await bed.client.call("process.kill", ["container": "c1", "signal": 9])
    _ = try await bed.client.event("process.closed", container: "c1", process: "init")
    try await bed.client.call("task.delete", ["container": "c1"])
    try await bed.client.call("container.delete", ["container": "c1"])
    let after = try await bed.client.call("worker.status")["rpc"]
    var spent: [String: Int] = [:]
    for (method, count) in after.object ?? [:] {
      let calls = (count.int ?? 0) - (before[method].int ?? 0)
      if calls != 0 { spent[method] = calls }
    }
    #expect(
      spent == [
        "Containers/Create": 1, "Tasks/Create": 1, "Tasks/Start": 2, "Tasks/Exec": 1,
        "Tasks/DeleteProcess": 1,
        "Tasks/Kill": 1, "Tasks/Delete": 1, "Containers/Delete": 1,
      ])
    try await bed.finish()
  }

  @Test func inspectAndListShowIt() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"], "labels": ["job": "42"]])
    try await bed.client.call("task.start", ["container": "c1"])
    let found = try await bed.client.call("container.inspect", ["container": "c1"])
    #expect(found["labels"]["job"] == "42")
    #expect(found["spec"]["process"]["args"] == ["sleep", "1000"])
    #expect(found["task"]["status"] == "running")
    let listed = try await bed.client.call("container.list", ["filter": "labels.job==42"])
    #expect(listed["containers"].array?.map { $0["container"] } == ["c1"])
    #expect(try await bed.client.error("container.delete", ["container": "c1"])["code"] == "wrong_state")
    #expect(try await bed.client.error("task.delete", ["container": "c1"])["code"] == "wrong_state")
    #expect(try await bed.client.call("task.delete", ["container": "c1", "force": true])["exit_code"] == 137)
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aTerminalMergesItsStreams() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "terminal": true,
        "args": ["sh", "-c", "read x; stty size; echo err >&2"],
      ])
    try await bed.client.call(
      "task.start",
      ["container": "c1", "stdin": true, "attach": [:], "size": ["columns": 101, "rows": 33]])
    try await bed.client.call("stdio.write", ["container": "c1", "text": "\n"])
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stderr"]["end"] == "none")
    #expect(try String(decoding: bed.client.output("c1"), as: UTF8.self).contains("33 101\r\nerr\r\n"))
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aWholeSpecIsTaken() async throws {
    let bed = try await TestBed.start()
    let spec: JSON = [
      "ociVersion": "1.0.2", "root": ["path": JSON(bed.rootfs)],
      "process": [
        "args": ["echo", "spec"], "cwd": "/", "env": ["PATH=/bin"], "user": ["uid": 0, "gid": 0],
      ],
      "mounts": [
        ["destination": "/proc", "type": "proc", "source": "proc"],
        // runc makes /dev/ptmx, and others have the same root.
        ["destination": "/dev", "type": "tmpfs", "source": "tmpfs"],
      ],
      "linux": ["namespaces": [["type": "pid"], ["type": "mount"]]],
    ]
    try await bed.client.call("container.create", ["container": "c1", "spec": spec])
    try await bed.client.call("task.start", ["container": "c1", "attach": [:]])
    _ = try await bed.client.event("process.closed", container: "c1")
    #expect(try bed.client.output("c1") == Array("spec\n".utf8))
    #expect(
      try await bed.client.error("container.create", ["container": "c1", "spec": spec])["code"]
        == "already_exists")
    try await bed.client.call("container.create", ["container": "c1", "spec": spec, "replace": true])
    try await bed.remove("c1")
    try await bed.finish()
  }
}
