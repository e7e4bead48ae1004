import Foundation
import Glibc
import Testing
import TestSupport

/// Streams addressed by offset, with credit and policies.
@Suite(.serialized)
struct StreamTests {
  private func numbers(_ lines: ClosedRange<Int>) -> String { NumberedLines.script(lines) }
  private func expected(_ range: Range<Int>) -> [UInt8] { NumberedLines.bytes(range) }

  private func create(_ bed: TestBed, _ args: [String]) async throws {
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": JSON(args)])
  }

  // MARK: - Offsets

  @Test func aClientThatComesAgainGoesOnAtItsByte() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", "\(numbers(1...1000)); read x; \(numbers(1001...2000))"])
    let first = try bed.worker.connect()
    try await first.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    _ = try await first.output(of: "c1", atLeast: 8000)
    first.close()
    // It had processed less than it was sent.
    let again = try bed.worker.connect()
    let place = try await again.call("stdio.attach", ["container": "c1", "from": ["stdout": 5000]])
    #expect(place["stdout"] == ["offset": 5000, "role": "controller"])
    try await again.call("stdio.write", ["container": "c1", "text": "\n"])
    _ = try await again.event("process.closed", container: "c1")
    #expect(try again.output("c1", from: 5000) == expected(5000..<16000))
    // After the end, too, as long as the task is there.
    let late = try await bed.client.call(
      "stdio.attach", ["container": "c1", "streams": ["stdout"], "from": 15992])
    #expect(late["stdout"]["offset"] == 15992)
    _ = try await bed.client.event("stdio.eof", container: "c1")
    #expect(try bed.client.output("c1", from: 15992) == expected(15992..<16000))
    #expect(
      try await bed.client.error("stdio.attach", ["container": "c1", "from": 16001])["code"]
        == "invalid_argument")
    again.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func whatIsGoneIsAGapWithItsRange() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", numbers(1...100_000)])
    try await bed.client.call("task.start", ["container": "c1", "attach": [:]])
    _ = try await bed.client.event("process.closed", container: "c1")
    #expect(try bed.client.output("c1") == expected(0..<800_000))
    let late = try bed.worker.connect()
    try await late.call("stdio.attach", ["container": "c1", "streams": ["stdout"], "from": 8])
    let gap = try await late.event("stdio.gap", container: "c1")
    #expect(gap["from"] == 8)
    #expect(gap["reason"] == "expired")
    let start = try #require(gap["to"].int)
    #expect(start >= 800_000 - 460_000 && start <= 800_000 - 262_144)
    _ = try await late.event("stdio.eof", container: "c1")
    #expect(try late.output("c1", from: start) == expected(start..<800_000))
    late.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func repeatedWritesAreTrimmedAndHolesRefused() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    try await bed.startContainer("c1", ["cat"], stdin: true)
    func write(_ text: String, at offset: Int) async throws -> JSON {
      try await client.call("stdio.write", ["container": "c1", "text": JSON(text), "offset": JSON(offset)])[
        "offset"]
    }
    #expect(try await write("hello ", at: 0) == 6)
    // The reply was lost, and more is known by now.
    #expect(try await write("hello wor", at: 0) == 9)
    #expect(try await write("hello", at: 0) == 9)
    let hole: JSON = ["container": "c1", "text": "x", "offset": 20]
    #expect(try await client.error("stdio.write", hole)["argument"] == "offset")
    // The end is known before the last bytes are sent.
    #expect(try await client.call("stdio.close", ["container": "c1", "offset": 11])["offset"] == 9)
    #expect(
      try await client.error("stdio.write", ["container": "c1", "text": "ld!"])["code"] == "wrong_state")
    #expect(try await write("ld", at: 9) == 11)
    #expect(try await write("world", at: 6) == 11)
    #expect(try await client.event("process.closed", container: "c1")["exit_code"] == 0)
    #expect(try client.output("c1") == Array("hello world".utf8))
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func stdinTellsItsCredit() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sh", "-c", "read x; cat >/dev/null"], stdin: true)
    let place = try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stdin"]])["stdin"]
    #expect(place == ["offset": 0, "credit": 1_048_576])
    let chunk = JSON(String(repeating: "x", count: 500_000))
    for _ in 0..<2 { try await bed.client.call("stdio.write", ["container": "c1", "text": chunk]) }
    try await bed.client.call("stdio.write", ["container": "c1", "text": "\n"])
    try await bed.client.call("stdio.write", ["container": "c1", "text": chunk])
    // As the process reads there is room for more.
    let credit = try await bed.client.event("stdin.credit", container: "c1")
    #expect((credit["offset"].int ?? 0) >= 1_048_576 + 524_288)
    try await bed.client.call("stdio.close", ["container": "c1"])
    _ = try await bed.client.event("process.closed", container: "c1")
    try await bed.remove("c1")
    try await bed.finish()
  }

  // MARK: - Credit

  @Test func noMoreComesThanIsGranted() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", numbers(1...50_000)])
    try await bed.client.call(
      "task.start",
      ["container": "c1", "attach": ["window": 1000, "encoding": "base64", "streams": ["stdout"]]])
    #expect(try await bed.client.output(of: "c1", atLeast: 1000).count == 1000)
    // Replies and other streams do not wait for it.
    try await bed.client.call("ping")
    #expect(try await bed.run("c2", ["echo", "hi"])["exit_code"] == 0)
    #expect(try bed.client.output("c1").count == 1000)
    let credit: JSON = ["container": "c1", "stream": "stdout"]
    #expect(try await bed.client.call("stdio.credit", credit.merging(["offset": 5000]))["offset"] == 5000)
    #expect(try await bed.client.output(of: "c1", atLeast: 5000).count == 5000)
    // Less than before changes nothing.
    #expect(try await bed.client.call("stdio.credit", credit.merging(["offset": 10]))["offset"] == 5000)
    try await bed.client.call("stdio.credit", credit.merging(["offset": 1_000_000]))
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 400_000, "end": "eof"])
    #expect(try bed.client.output("c1") == expected(0..<400_000))
    #expect(
      try await bed.client.error("stdio.credit", credit.merging(["offset": 1]))["code"] == "wrong_state")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func whatHasNoWindowIsNotBoundByCredit() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["cat"], stdin: true)
    try await bed.client.call("stdio.attach", ["container": "c1"])
    let credit: JSON = ["container": "c1", "stream": "stdout", "offset": 2]
    #expect(try await bed.client.call("stdio.credit", credit)["offset"] == 2)
    try await bed.client.call("stdio.write", ["container": "c1", "text": "more than that"])
    try await bed.client.text("more than that", of: "c1")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func withoutCreditTheProcessBlocksAndIsTimedOutAtTheEnd() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", "\(numbers(1...100_000)); echo done >&2; read x"])
    try await bed.client.call(
      "task.start",
      [
        "container": "c1", "stdin": true, "attach": ["streams": ["stdout"], "window": 800],
        "stdio": ["backlog": 0],
      ])
    let errors = try bed.worker.connect()
    try await errors.call("stdio.attach", ["container": "c1", "streams": ["stderr"]])
    #expect(try await bed.client.output(of: "c1", atLeast: 800) == expected(0..<800))
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    let exited = try await bed.client.event("process.exited", container: "c1")
    #expect(exited["exit_code"] == 137)
    // Ten seconds are given to whoever has not granted enough.
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stdout"]["end"] == "timeout")
    let gap = try await bed.client.event("stdio.gap", container: "c1")
    #expect(gap["from"] == 800)
    #expect(gap["to"] == closed["stdout"]["bytes"])
    #expect(gap["reason"] == "timeout")
    // It had not come to its second line.
    #expect(closed["stderr"] == ["bytes": 0, "end": "eof"])
    errors.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  // MARK: - Overflow

  @Test func whatOverflowsIsDroppedWhereThatWasChosen() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", "\(numbers(1...100_000)); echo done >&2; read x"])
    try await bed.client.call(
      "task.start", ["container": "c1", "stdin": true, "stdio": ["overflow": "drop", "backlog": 100_000]])
    // The process was never held up: it has come to its second line.
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stderr"]])
    try await bed.client.text("done\n", of: "c1", "init", "stderr")
    // The last bytes may still be in the FIFO; an observer can begin behind them once they are read.
    let observer = try bed.worker.connect()
    let behind: JSON = ["container": "c1", "streams": ["stdout"], "role": "observer", "from": 800_000]
    while try await observer.reply(to: observer.post("stdio.attach", behind)).has("error") {}
    observer.close()
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stdout"]])
    let gap = try await bed.client.event("stdio.gap", container: "c1")
    #expect(gap["from"] == 0)
    let start = try #require(gap["to"].int)
    try await bed.client.call("stdio.close", ["container": "c1"])
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 800_000, "end": "eof"])
    #expect(start >= 800_000 - 300_000 && start <= 800_000 - 100_000)
    #expect(try bed.client.output("c1", from: start) == expected(start..<800_000))
    #expect(
      try await bed.client.error("task.start", ["container": "c1", "stdio": ["backlog": 1_000_000_000]])[
        "code"]
        == "invalid_argument")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func justTheBacklogIsKeptOfWhatNobodyReads() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", "\(numbers(1...10_000)); echo done >&2; read x"])
    try await bed.client.call(
      "task.start", ["container": "c1", "stdin": true, "stdio": ["overflow": "drop", "backlog": 5000]])
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stderr"]])
    try await bed.client.text("done\n", of: "c1", "init", "stderr")
    let observer = try bed.worker.connect()
    let start: JSON = ["container": "c1", "streams": ["stdout"], "role": "observer", "from": 80_000]
    while try await observer.reply(to: observer.post("stdio.attach", start)).has("error") {}
    // What is older than what is kept is no fault of who asks for it.
    try await observer.call(
      "stdio.attach", ["container": "c1", "streams": ["stdout"], "role": "observer", "from": 0])
    let missed = try await observer.event("stdio.gap", container: "c1")
    #expect(missed["to"] == 75_000 && missed["reason"] == "expired")
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stdout"], "window": 0])
    #expect(try await bed.client.event("stdio.gap", container: "c1")["to"] == 75_000)
    try await bed.client.call("stdio.credit", ["container": "c1", "stream": "stdout", "offset": 80_000])
    try await bed.client.call("stdio.close", ["container": "c1"])
    _ = try await bed.client.event("process.closed", container: "c1")
    #expect(try bed.client.output("c1", from: 75_000) == expected(75_000..<80_000))
    observer.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func withoutThatChoiceTheProcessWaitsForAReader() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", "\(numbers(1...100_000)); echo done >&2"])
    try await bed.client.call("task.start", ["container": "c1", "stdio": ["backlog": 1000]])
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stderr"]])
    #expect(try await bed.client.call("process.status", ["container": "c1"])["status"] == "running")
    #expect(try bed.client.output("c1", "init", "stderr") == [])
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stdout"]])
    _ = try await bed.client.event("process.closed", container: "c1")
    #expect(try bed.client.output("c1") == expected(0..<800_000))
    #expect(try bed.client.output("c1", "init", "stderr") == Array("done\n".utf8))
    try await bed.remove("c1")
    try await bed.finish()
  }

  // MARK: - Ends

  @Test func anAttachThatOutlivesItsConnectionHarmsNobody() async throws {
    let bed = try await TestBed.start()
    for round in 0..<10 {
      let id = "c\(round)"
      let client = try bed.worker.connect()
      _ = try await client.greeting()
      client.post(
        "container.create",
        [
          "container": JSON(id), "rootfs": JSON(bed.rootfs),
          "args": ["sh", "-c", JSON("\(numbers(1...2000)); sleep 1000")],
        ])
      client.post("task.start", ["container": JSON(id), "attach": [:]])
      client.post("stdio.attach", ["container": JSON(id), "role": "observer"])
      client.close()
      _ = try await bed.client.event("task.started", container: id)
      try await bed.client.call("ping")
    }
    for round in 0..<10 { try await bed.remove("c\(round)") }
    try await bed.finish()
  }

  @Test(arguments: [0, 8000]) func anEndIsSeenBehindAFullBacklog(backlog: Int) async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", "head -c \(backlog) /dev/zero"])
    try await bed.client.call("task.start", ["container": "c1", "stdio": ["backlog": JSON(backlog)]])
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": JSON(backlog), "end": "eof"])
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func anExecIsClosedEvenWhenItsTaskIsDeletedUnderIt() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    try await bed.client.call(
      "process.exec",
      [
        "container": "c1", "process": "e1", "args": ["sh", "-c", JSON("\(numbers(1...100)); sleep 1000")],
        "attach": ["window": 80],
      ])
    _ = try await bed.client.output(of: "c1", "e1", atLeast: 80)
    try await bed.remove("c1")
    _ = try await bed.client.event("process.exited", container: "c1", process: "e1")
    let closed = try await bed.client.event("process.closed", container: "c1", process: "e1")
    #expect(closed["stdout"]["end"] == "timeout")
    #expect(try await bed.client.event("stdio.gap", container: "c1", process: "e1")["from"] == 80)
    try await bed.finish()
  }
}
