import Foundation
import Testing
import TestSupport

/// Streams handed over whole: the FIFO's own ends, or a pipe's.
@Suite(.serialized)
struct HandoverTests {
  private static let accept: JSON = ["accept": ["attach.fd", "something.new"]]

  private func expected(_ range: Range<Int>) -> [UInt8] { NumberedLines.bytes(range) }

  /// Prints so many lines, waits for one on its stdin, and prints so many more.
  private func script(_ first: Int, _ second: Int) -> JSON {
    let (now, later) = (NumberedLines.script(1...first), NumberedLines.script(first + 1...first + second))
    return ["sh", "-c", JSON("\(now); read x; \(later)")]
  }

  @Test func aClientThatDidNotAskGetsNoDescriptor() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["cat"], stdin: true)
    let client = try DescriptorClient(bed.worker.socket)
    let (refused, none) = try await client.call("stdio.attach", ["container": "c1", "mode": "fd"])
    #expect(refused["error"]["code"] == "wrong_state")
    #expect(none.isEmpty)
    let (hello, _) = try await client.call("hello", Self.accept)
    #expect(hello["result"]["features"] == ["attach.fd"])
    // Somebody else is the controller.
    let (taken, _) = try await client.call("stdio.attach", ["container": "c1", "mode": "fd"])
    #expect(taken["error"]["code"] == "wrong_state")
    #expect(
      try await bed.client.error(
        "run", ["rootfs": JSON(bed.rootfs), "args": ["true"], "attach": ["mode": "fd"]])["code"]
        == "invalid_argument")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test(arguments: ["fd", "pipe"]) func inMidStreamNothingIsLostOrDoubled(mode: String) async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": script(20_000, 100_000)])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true])
    let client = try DescriptorClient(bed.worker.socket)
    _ = try await client.call("hello", Self.accept)
    var lines: [UInt8] = []
    let (reply, descriptors) = try await client.call(
      "stdio.attach", ["container": "c1", "mode": JSON(mode)]
    ) { line in
      if line["event"] == "stdio.data" {
        #expect(line["offset"].int == lines.count)
        lines += Array((line["text"].string ?? "").utf8)
      }
    }
    #expect(reply["result"]["fds"] == ["stdout", "stderr"])
    #expect(descriptors.count == 2)
    // What had been read before came as lines; the descriptor goes on where they end.
    let offset = try #require(reply["result"]["stdout"]["offset"].int)
    #expect(lines == expected(0..<offset))
    #expect(reply["result"]["stdout"]["fd"] == 0)
    try await bed.client.call("stdio.write", ["container": "c1", "text": "\n"])
    let rest = try await descriptors[0].readAll()
    #expect(rest == expected(offset..<960_000))
    #expect(try await descriptors[1].readAll() == [])
    let closed = try await client.event("process.closed")
    #expect(closed["stdout"]["end"].string == (mode == "fd" ? "handed_over" : "eof"))
    #expect(closed["stdout"]["bytes"].int == (mode == "fd" ? offset : 960_000))
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test(arguments: ["fd", "pipe"]) func allThreeStreamsFromTheStart(mode: String) async throws {
    let bed = try await TestBed.start()
    let client = try DescriptorClient(bed.worker.socket)
    _ = try await client.call("hello", Self.accept)
    _ = try await client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sh", "-c", "tee /dev/stderr"],
        "user": "1000:1000",
      ])
    let (reply, descriptors) = try await client.call(
      "task.start",
      [
        "container": "c1", "stdin": true,
        "attach": ["mode": JSON(mode), "streams": ["stdin", "stdout", "stderr"]],
      ])
    #expect(reply["result"]["fds"] == ["stdin", "stdout", "stderr"])
    #expect(descriptors.count == 3)
    #expect(
      try await client.call("stdio.write", ["container": "c1", "text": "x"]).line["error"]["code"]
        == "wrong_state")
    let input = expected(0..<400_000)
    async let output = descriptors[1].readAll()
    async let errors = descriptors[2].readAll()
    try await descriptors[0].writeAll(input)
    descriptors[0].close()
    // The pipe's end is the worker's to see; of its own FIFO's end containerd has to be told.
    if mode == "fd" { _ = try await client.call("stdio.close", ["container": "c1"]) }
    #expect(try await output == input)
    #expect(try await errors == input)
    #expect(try await client.event("process.closed")["exit_code"] == 0)
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// However soon a process ends, whoever started it has its streams, from the first byte on.
  @Test(arguments: ["fd", "pipe"]) func aShortLifeIsHandedOverWhole(mode: String) async throws {
    let bed = try await TestBed.start()
    let client = try DescriptorClient(bed.worker.socket)
    _ = try await client.call("hello", Self.accept)
    for round in 0..<10 {
      let id = JSON("c\(round)")
      _ = try await client.call(
        "container.create", ["container": id, "rootfs": JSON(bed.rootfs), "args": ["echo", "hello"]])
      let (reply, descriptors) = try await client.call(
        "task.start",
        [
          "container": id, "stdin": true,
          "attach": ["mode": JSON(mode), "streams": ["stdin", "stdout", "stderr"]],
        ])
      #expect(reply["result"]["fds"] == ["stdin", "stdout", "stderr"], "\(reply)")
      #expect(reply["result"]["stdout"]["offset"] == 0)
      guard descriptors.count == 3 else { continue }
      #expect(try await descriptors[1].readAll() == Array("hello\n".utf8))
      #expect(try await descriptors[2].readAll() == [])
      descriptors[0].close()
      let closed = try await client.event("process.closed")
      #expect(closed["exit_code"] == 0)
      #expect(closed["stdout"]["end"].string == (mode == "fd" ? "handed_over" : "eof"))
      _ = try await client.call("container.delete", ["container": id, "force": true])
    }
    try await bed.finish()
  }

  @Test func observersAreToldWhereTheStreamWent() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sh", "-c", "echo one; read x; echo two"]])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true])
    let observe: JSON = ["container": "c1", "streams": ["stdout"], "role": "observer", "from": 0]
    try await bed.client.call("stdio.attach", observe)
    try await bed.client.text("one\n", of: "c1")
    let client = try DescriptorClient(bed.worker.socket)
    _ = try await client.call("hello", Self.accept)
    let take: JSON = ["container": "c1", "streams": ["stdout"], "mode": "pipe"]
    let (_, pipe) = try await client.call("stdio.attach", take)
    try await bed.client.call("stdio.write", ["container": "c1", "text": "\n"])
    let rest = try await pipe[0].readAll()
    #expect(rest == Array("one\ntwo\n".utf8))
    let gap = try await bed.client.event("stdio.gap", container: "c1")
    #expect(gap["reason"] == "handed_over" && gap["from"] == 4 && gap["to"] == 8)
    _ = try await client.event("process.closed")
    try await bed.client.call("task.delete", ["container": "c1"])

    try await bed.client.call("task.start", ["container": "c1", "stdin": true])
    try await bed.client.call("stdio.attach", observe)
    _ = try await client.call("stdio.attach", ["container": "c1", "streams": ["stdout"], "mode": "fd"])
    while try await bed.client.event("stdio.eof", container: "c1")["end"] != "handed_over" {}
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aStartThatAsksForTooMuchDoesNotRun() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]])
    let start: JSON = ["container": "c1", "attach": ["mode": "fd"]]
    #expect(try await bed.client.error("task.start", start)["code"] == "wrong_state")
    #expect(try await bed.client.error("process.status", ["container": "c1"])["code"] == "not_found")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aPipeGoesOnBehindWhatWasDropped() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": script(50_000, 10)])
    try await bed.client.call(
      "task.start", ["container": "c1", "stdin": true, "stdio": ["overflow": "drop", "backlog": 4096]])
    // Its shell reads, so all lines before are printed, and most of them are gone.
    try await bed.client.call("stdio.write", ["container": "c1", "text": "\n"])
    _ = try await bed.client.event("process.exited", container: "c1")
    let client = try DescriptorClient(bed.worker.socket)
    _ = try await client.call("hello", Self.accept)
    // It has ended by then, so it comes as lines, or it has not.
    var (gap, lines): (Int, [UInt8]) = (0, [])
    let (reply, descriptors) = try await client.call(
      "stdio.attach", ["container": "c1", "mode": "pipe", "streams": ["stdout"]]
    ) { line in
      if line["event"] == "stdio.gap" { gap = line["to"].int ?? 0 }
      if line["event"] == "stdio.data" { lines += Array((line["text"].string ?? "").utf8) }
    }
    #expect(reply.has("result"))
    for descriptor in descriptors { lines += try await descriptor.readAll() }
    if descriptors.isEmpty {
      while true {
        let line = try await client.next().line
        if line["event"] == "stdio.gap" { gap = line["to"].int ?? 0 }
        if line["event"] == "stdio.data" { lines += Array((line["text"].string ?? "").utf8) }
        if line["event"] == "stdio.eof" { break }
      }
    }
    #expect(gap > 0)
    #expect(lines == expected(gap..<400_080))
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func stdinIsGivenAwayOnceAndNotWhenItIsClosed() async throws {
    let bed = try await TestBed.start()
    let client = try DescriptorClient(bed.worker.socket)
    _ = try await client.call("hello", Self.accept)
    try await bed.startContainer("c1", ["cat"], stdin: true)
    let attach: JSON = ["container": "c1", "mode": "pipe", "streams": ["stdin"]]
    let (_, descriptors) = try await client.call("stdio.attach", attach)
    #expect(try await client.call("stdio.attach", attach).line["error"]["code"] == "wrong_state")
    // What is in the pipe when it is closed still arrives.
    let input = expected(0..<60_000)
    try await descriptors[0].writeAll(input)
    _ = try await client.call("stdio.close", ["container": "c1"])
    #expect(try await bed.client.event("process.closed", container: "c1")["exit_code"] == 0)
    #expect(try bed.client.output("c1") == input)
    try await bed.startContainer("c2", ["sleep", "1000"], stdin: true)
    try await bed.client.call("stdio.close", ["container": "c2"])
    let closed = try await client.call("stdio.attach", attach.merging(["container": "c2"]))
    #expect(closed.line["error"]["code"] == "wrong_state")
    #expect(closed.descriptors.isEmpty)
    try await bed.remove("c1")
    try await bed.remove("c2")
    try await bed.finish()
  }

  @Test func aPipeWhoseReaderGoesLeavesTheRestToOthers() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": script(10, 10)])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true])
    let client = try DescriptorClient(bed.worker.socket)
    _ = try await client.call("hello", Self.accept)
    let (_, descriptors) = try await client.call(
      "stdio.attach", ["container": "c1", "mode": "pipe", "streams": ["stdout"]])
    #expect(try await descriptors[0].read(exactly: 80) == expected(0..<80))
    descriptors[0].close()
    try await bed.client.call("stdio.write", ["container": "c1", "text": "\n"])
    _ = try await client.event("process.exited")
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stdout"]])
    _ = try await bed.client.event("stdio.eof", container: "c1")
    #expect(try bed.client.output("c1", from: 80) == expected(80..<160))
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// More than may wait for a client is on its way to one that reads.
  @Test func aFullBacklogComesBeforeTheDescriptor() async throws {
    let bed = try await TestBed.start()
    // Each of these bytes is 6 in a line.
    let script = "head -c 3000000 /dev/zero | tr '\\0' '\\1'; echo done >&2; sleep 1000"
    try await bed.client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sh", "-c", JSON(script)]])
    try await bed.client.call(
      "task.start",
      ["container": "c1", "stdio": ["backlog": 16_777_216], "attach": ["streams": ["stderr"]]])
    try await bed.client.text("done", of: "c1", "init", "stderr")
    let client = try bed.worker.connect()
    try await client.call("hello", Self.accept)
    let result = try await client.call(
      "stdio.attach", ["container": "c1", "mode": "fd", "streams": ["stdout"]])
    let offset = try #require(result["stdout"]["offset"].int)
    #expect(offset > 2_900_000)
    #expect(try client.output("c1").count == offset)
    client.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// A start may outlive its reply: the output is there for who comes then.
  @Test func nothingIsHandedOverWithoutAReply() async throws {
    let bed = try await TestBed.start()
    let runc = try await WrappedRunc.holding("start")
    try await bed.client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sh", "-c", "echo hello; sleep 1000"],
        "runtime": runc.runtime,
      ])
    try await bed.client.call("hello", Self.accept)
    let start = bed.client.post("task.start", ["container": "c1", "attach": ["mode": "fd"]])
    let gate = try await runc.held()
    try await bed.client.call("cancel", ["target": JSON(start)])
    #expect(try await bed.client.reply(to: start)["error"]["effect"] == "unknown")
    gate.close()
    _ = try await bed.client.event("task.started", container: "c1")
    try await bed.client.call("stdio.attach", ["container": "c1", "from": ["stdout": 0]])
    try await bed.client.text("hello", of: "c1")
    try await bed.remove("c1")
    try await bed.finish()
  }
}
