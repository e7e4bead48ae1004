import Testing
import TestSupport

/// Every byte, in both directions.
@Suite(.serialized)
struct StdioTests {
  @Test(arguments: [0, 1, 65536, 65537, 100_000_000])
  func outputArrivesWhole(size: Int) async throws {
    let bed = try await TestBed.start()
    // yes(1) has a period that offsets can be checked against.
    let closed = try await bed.run("c1", ["sh", "-c", "yes 0123456789abcde | head -c \(size)"])
    #expect(closed["stdout"] == ["bytes": .int(Int64(size)), "end": "eof"])
    #expect(isPattern(try bed.client.output("c1"), size))
    try await bed.finish()
  }

  @Test(arguments: [0, 1, 65536, 65537, 100_000_000])
  func stdinArrivesWhole(size: Int) async throws {
    let bed = try await TestBed.start()
    for (container, program) in [("cat", ["cat"]), ("count", ["wc", "-c"])] {
      try await bed.startContainer(container, program, stdin: true)
      try await write(size, to: container, of: bed.client)
      try await bed.client.call("stdio.close", ["container": JSON(container)])
      let closed = try await bed.client.event("process.closed", container: container)
      #expect(closed["exit_code"] == 0)
    }
    #expect(isPattern(try bed.client.output("cat"), size))
    #expect(try String(decoding: bed.client.output("count"), as: UTF8.self) == "\(size)\n")
    try await bed.remove("cat")
    try await bed.remove("count")
    try await bed.finish()
  }

  /// Many writes are under way at once, as a client does it that has much to say; the offsets of their replies are
  /// in the order of the writes.
  private func write(_ size: Int, to container: String, of client: LineClient) async throws {
    let whole = writeLine(pattern(StdioTests.chunk), to: container)
    var (posted, confirmed) = (0, 0)
    while confirmed < size {
      while posted < size, posted - confirmed < 8 * StdioTests.chunk {
        let count = min(StdioTests.chunk, size - posted)
        client.sendRaw(count == StdioTests.chunk ? whole : writeLine(pattern(count), to: container))
        posted += count
      }
      confirmed += min(StdioTests.chunk, size - confirmed)
      let reply = try await client.line("reply to a write") { $0["id"] == "w" }
      #expect(reply["result"]["offset"].int == confirmed)
    }
  }

  private static let chunk = 480_000

  private func writeLine(_ text: String, to container: String) -> [UInt8] {
    let line: JSON = [
      "command": "stdio.write", "id": "w", "arguments": ["container": JSON(container), "text": JSON(text)],
    ]
    return line.lineBytes
  }

  /// 16 bytes again and again, cut at a size: what is missing, doubled or out of place shows.
  private func pattern(_ size: Int) -> String {
    String(
      decoding: String(repeating: "0123456789abcde\n", count: size / 16 + 1).utf8.prefix(size), as: UTF8.self)
  }

  private func isPattern(_ bytes: [UInt8], _ size: Int) -> Bool {
    bytes.count == size && bytes.elementsEqual(pattern(size).utf8)
  }

  @Test func binaryGoesThroughCatUnchanged() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["cat"], stdin: true)
    // All byte values, in an order that makes invalid UTF-8 everywhere: base64 of 0…255, 64 times.
    let base64 =
      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9Q"
      + "UVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6Ch"
      + "oqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy"
      + "8/T19vf4+fr7/P3+/w=="
    for _ in 0..<64 { try await bed.client.call("stdio.write", ["container": "c1", "base64": JSON(base64)]) }
    try await bed.client.call("stdio.close", ["container": "c1"])
    _ = try await bed.client.event("process.closed", container: "c1")
    let output = try bed.client.output("c1")
    #expect(output.count == 64 * 256)
    #expect(output.indices.allSatisfy { Int(output[$0]) == $0 % 256 })
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aSplitCharacterIsNotTornApart() async throws {
    let bed = try await TestBed.start()
    let script = #"printf '\xe2\x82'; sleep 0.05; printf '\xac'; printf '\xe2'"#
    _ = try await bed.run("c1", ["sh", "-c", script])
    #expect(try bed.client.output("c1") == [0xE2, 0x82, 0xAC, 0xE2])
    try await bed.finish()
  }

  /// The case that hangs elsewhere: moby#37870, containerd#4489.
  @Test func execWithEmptyStdinSeesItsEnd200Times() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    for round in 0..<200 {
      let process = JSON("e\(round)")
      // The close is in the same write as the start, so that it comes before the process runs.
      let start = bed.client.post(
        "process.exec",
        ["container": "c1", "process": process, "args": ["cat"], "stdin": true, "attach": [:]])
      bed.client.post("stdio.close", ["container": "c1", "process": process])
      _ = try await bed.client.result(of: start)
      let closed = try await bed.client.event(
        "process.closed", container: "c1", process: process.string, seconds: 20)
      #expect(closed["exit_code"] == 0)
      #expect(closed["stdout"] == ["bytes": 0, "end": "eof"])
    }
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func stdinWrittenAndClosedInTheSameReadAsTheStart() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["cat"]])
    bed.client.sendRaw(
      #"{"command":"task.start","id":"s","arguments":{"container":"c1","stdin":true,"attach":{}}}"# + "\n"
        + #"{"command":"stdio.write","id":"w","arguments":{"container":"c1","text":"early"}}"# + "\n"
        + #"{"command":"stdio.close","id":"x","arguments":{"container":"c1"}}"# + "\n"
        + #"{"command":"stdio.close","id":"y","arguments":{"container":"c1"}}"# + "\n"
        + #"{"command":"stdio.write","id":"z","arguments":{"container":"c1","text":"late"}}"# + "\n")
    #expect(try await bed.client.result(of: "w")["offset"] == 5)
    // Closing twice is no error; writing afterwards is.
    _ = try await bed.client.result(of: "y")
    #expect(try await bed.client.reply(to: "z")["error"]["code"] == "wrong_state")
    _ = try await bed.client.event("process.closed", container: "c1")
    #expect(try bed.client.output("c1") == Array("early".utf8))
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func shortLivedProcessesLoseNothing200Times() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    for round in 0..<200 {
      let process = "e\(round)"
      try await bed.client.call(
        "process.exec",
        [
          "container": "c1", "process": JSON(process), "args": ["echo", JSON("line \(round)")], "attach": [:],
        ])
      _ = try await bed.client.event("process.closed", container: "c1", process: process)
      #expect(try bed.client.output("c1", process) == Array("line \(round)\n".utf8))
    }
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func whatNobodyReadsWaitsForALaterReader() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sh", "-c", "yes | head -c 2000000; cat"]])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true])
    let other = try bed.worker.connect()
    try await other.call("stdio.attach", ["container": "c1"])
    #expect(
      try await bed.client.error("stdio.attach", ["container": "c1", "role": "controller"])["code"]
        == "wrong_state")
    try await other.call("stdio.close", ["container": "c1"])
    _ = try await other.event("process.closed", container: "c1")
    #expect(try other.output("c1").count == 2_000_000)
    other.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aProcessThatDoesNotReadItsStdinHoldsUpNobody() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"], stdin: true)
    let chunk = JSON(String(repeating: "x", count: 500_000))
    // More than pipe and buffer hold: the last ones wait for room.
    let writes = (0..<4).map { _ in bed.client.post("stdio.write", ["container": "c1", "text": chunk]) }
    #expect(try await bed.client.call("process.status", ["container": "c1"])["status"] == "running")
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    for write in writes { _ = try await bed.client.reply(to: write) }
    try await bed.remove("c1")
    try await bed.finish()
  }
}
