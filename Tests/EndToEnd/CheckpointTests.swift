import Foundation
import Testing
import TestSupport

/// Dumps by CRIU, and processes that go on from them.
@Suite(
  .serialized,
  .enabled(if: PrivateContainerd.finds("criu"), "no criu on containerd's PATH; scripts/criu fetches one"))
struct CheckpointTests {
  private let counter = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"

  private func numbers(_ output: [UInt8]) -> [Int] {
    // The last one may be cut.
    String(decoding: output, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
      .dropLast()
      .compactMap { Int($0) }
  }

  @Test func aCounterGoesOnWhereItStopped() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    let image = try Sandbox.newDirectory("image") + "/new"
    try await bed.startContainer("c1", ["sh", "-c", counter])
    _ = try await client.output(of: "c1", atLeast: 40)

    // It goes on after a dump without an end.
    let first = image + "1"
    try await client.call("task.checkpoint", ["container": "c1", "directory": JSON(first)])
    _ = try await client.event("task.checkpointed", container: "c1")
    let count = try client.output("c1").count
    _ = try await client.output(of: "c1", atLeast: count + 20)

    let second = image + "2"
    try await client.call("task.checkpoint", ["container": "c1", "directory": JSON(second), "exit": true])
    let closed = try await client.event("process.closed", container: "c1")
    #expect(closed["exit_code"] == 137)
    #expect(closed["oom"] == false)
    let counted = numbers(try client.output("c1"))
    let last = try #require(counted.last)
    #expect(counted == Array(0...last))
    try await client.call("task.delete", ["container": "c1"])

    // A client of its own, for which offsets begin anew.
    let next = try bed.worker.connect()
    let started = try await next.call(
      "task.start", ["container": "c1", "checkpoint": JSON(second), "attach": [:]])
    #expect((started["pid"].int ?? 0) > 1)
    let more = numbers(try await next.output(of: "c1", atLeast: 40))
    #expect(more == Array(last + 1...last + more.count))
    // It is a task like any other.
    try await next.call(
      "process.exec", ["container": "c1", "process": "e1", "args": ["sh", "-c", "echo exec"], "attach": [:]])
    _ = try await next.event("process.closed", container: "c1", process: "e1")
    #expect(try next.output("c1", "e1") == Array("exec\n".utf8))
    try await next.call("process.kill", ["container": "c1", "signal": "KILL"])
    #expect(try await next.event("process.closed", container: "c1", process: "init")["exit_code"] == 137)
    next.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func stdinOfARestoredProcessWorks() async throws {
    let bed = try await TestBed.start()
    let image = try Sandbox.newDirectory("image")
    try await bed.startContainer("c1", ["sh", "-c", "echo ready; read x; echo got $x; cat"], stdin: true)
    try await bed.client.text("ready\n", of: "c1")
    try await bed.client.call("task.checkpoint", ["container": "c1", "directory": JSON(image), "exit": true])
    _ = try await bed.client.event("process.closed", container: "c1")
    try await bed.client.call("task.delete", ["container": "c1"])
    let next = try bed.worker.connect()
    try await next.call(
      "task.start", ["container": "c1", "checkpoint": JSON(image), "stdin": true, "attach": [:]])
    try await next.call("stdio.write", ["container": "c1", "text": "it\nand more"])
    try await next.call("stdio.close", ["container": "c1"])
    #expect(try await next.event("process.closed", container: "c1")["exit_code"] == 0)
    #expect(try next.output("c1") == Array("got it\nand more".utf8))
    next.close()
    try await bed.remove("c1")
    try await bed.finish()
  }
}

/// What needs no CRIU to be refused.
struct CheckpointRefusalTests {
  /// What is wrong with a dump shows only when containerd starts the process.
  @Test func aBrokenCheckpointLeavesNothing() async throws {
    let bed = try await TestBed.start()
    let image = try Sandbox.newDirectory("image")
    for file in ["inventory.img", "descriptors.json"] {
      try "broken".write(toFile: "\(image)/\(file)", atomically: true, encoding: .utf8)
    }
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]])
    let error = try await bed.client.error(
      "task.start", ["container": "c1", "checkpoint": JSON(image), "stdin": true, "attach": [:]])
    #expect(error["code"] == "start_failed")
    #expect(error["stage"] == "start")
    #expect(error["exit_code"] == 128)
    #expect(bed.containerd.shims(of: bed.worker.namespace).isEmpty)
    // The container is as good as before.
    try await bed.client.call("task.start", ["container": "c1"])
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func whatIsNoCheckpointIsRefusedBeforeAnythingRuns() async throws {
    let bed = try await TestBed.start()
    let missing = try Sandbox.newDirectory("image") + "/missing"
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["true"]])
    let error = try await bed.client.error("task.start", ["container": "c1", "checkpoint": JSON(missing)])
    #expect(error["code"] == "not_found")
    // containerd would have made it.
    #expect(!FileManager.default.fileExists(atPath: missing))
    let wrong: [(String, JSON, String)] = [
      ("task.start", ["container": "c1", "checkpoint": "relative"], "invalid_argument"),
      ("task.checkpoint", ["container": "c1"], "missing_argument"),
      ("task.checkpoint", ["container": "c1", "directory": "relative"], "invalid_argument"),
      ("task.checkpoint", ["container": "c1", "directory": JSON(missing)], "not_found"),
    ]
    for (command, arguments, code) in wrong {
      #expect(try await bed.client.error(command, arguments)["code"].string == code)
    }
    try await bed.remove("c1")
    try await bed.finish()
  }
}
