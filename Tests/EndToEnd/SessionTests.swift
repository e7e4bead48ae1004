import Foundation
import Glibc
import Testing
import TestSupport

/// Lines, connections, the queue.
@Suite(.serialized)
struct SessionTests {
  @Test func malformedLinesCostOnlyThemselves() async throws {
    let bed = try await TestBed.start()
    let bad: [(line: String, code: String)] = [
      ("{", "invalid_json"), ("[]", "invalid_json"), ("ping", "invalid_json"),
      ("{\"command\":\"ping\",}", "invalid_json"),
      ("\u{FEFF}{}", "invalid_json"), ("{\"command\":\"ping\"} x", "invalid_json"),
      ("{\"a\":01}", "invalid_json"),
      ("{\"command\":\"ping\",\"command\":\"ping\"}", "duplicate_key"), ("{}", "missing_argument"),
      ("{\"command\":\"pong\"}", "unknown_command"), ("{\"command\":7}", "invalid_argument"),
      ("{\"command\":\"ping\",\"arguments\":{\"a\":1}}", "unknown_argument"),
      ("{\"command\":\"ping\",\"extra\":1}", "unknown_argument"),
      ("{\"command\":\"ping\",\"id\":1.0}", "invalid_argument"),
      ("{\"command\":\"ping\",\"id\":1e2}", "invalid_argument"),
      ("{\"command\":\"ping\",\"id\":\"\"}", "invalid_argument"),
      ("{\"command\":\"ping\",\"id\":9007199254740992}", "invalid_argument"),
      ("{\"command\":\"ping\",\"id\":99999999999999999999}", "invalid_argument"),
      ("{\"command\":\"container.inspect\"}", "missing_argument"),
      ("{\"command\":\"container.inspect\",\"arguments\":{\"container\":\"../x\"}}", "invalid_argument"),
      ("{\"command\":\"container.inspect\",\"arguments\":{\"container\":\"a\\u0000b\"}}", "invalid_argument"),
      ("{\"command\":\"ping\",\"deadline_ms\":-1}", "invalid_argument"),
      ("{\"a\":" + String(repeating: "[", count: 40) + String(repeating: "]", count: 40) + "}", "too_deep"),
      ("{\"a\":\"" + String(repeating: "x", count: 1_048_576) + "\"}", "line_too_long"),
    ]
    for (number, (line, code)) in bad.enumerated() {
      bed.client.sendRaw(line + "\n{\"command\":\"ping\",\"id\":\"p\(number)\"}\n")
      let error = try await bed.client.line("error for \(line.prefix(80))") { $0.has("error") }
      #expect(error["error"]["code"].string == code, "\(line.prefix(80))")
      #expect(error["line"].int == 2 * number + 1)
      #expect(try await bed.client.reply(to: "p\(number)").has("result"))
    }
    bed.client.sendRaw(Array("{\"command\":\"pi".utf8) + [0xFF] + Array("ng\"}\n".utf8))
    let invalid = try await bed.client.line("error") { $0.has("error") }["error"]
    #expect(invalid["code"] == "invalid_utf8")
    #expect(invalid["position"] == 14)
    // Tolerated: CR, blank lines, 0x1E, keys that start with x-.
    bed.client.sendRaw("\r\n\n\u{1E}{\"command\":\"ping\",\"id\":\"ok\",\"x-trace\":1}\r\n")
    _ = try await bed.client.result(of: "ok")
    try await bed.finish()
  }

  @Test func aLineWithoutItsEndIsNotExecuted() async throws {
    let bed = try await TestBed.start()
    let client = try bed.worker.connect()
    client.sendRaw("{\"command\":\"container.list\",\"id\":\"a\"}\n{\"command\":\"ping\",\"id\":\"b\"}")
    client.halfClose()
    #expect(try await client.line("error") { $0.has("error") }["error"]["code"] == "truncated_line")
    _ = try await client.result(of: "a")
    try await client.ended()
    #expect(!client.history().contains { $0["id"] == "b" })
    try await bed.finish()
  }

  @Test func aHalfCloseWaitsForRepliesOutOfBandToo() async throws {
    let bed = try await TestBed.start()
    let client = try bed.worker.connect()
    let kill = client.post("process.kill", ["container": "nobody"])
    client.halfClose()
    #expect(try await client.reply(to: kill)["error"]["code"] == "not_found")
    try await client.ended()
    try await bed.finish()
  }

  @Test func aBadArgumentIsRefusedBeforeAnythingIsDone() async throws {
    let bed = try await TestBed.start()
    let create: JSON = ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["true"]]
    try await bed.client.call("container.create", create)
    let bad: [(JSON, String)] = [
      (["replace": true, "runtime": ["options": ["nope": 1]]], "unknown_argument"),
      (["replace": true, "mounts": [["destination": "/a\u{0}b"]]], "invalid_argument"),
      (["replace": true, "user": ["uid": 1, "additionalGids": 7]], "invalid_argument"),
    ]
    for (more, code) in bad {
      #expect(try await bed.client.error("container.create", create.merging(more))["code"].string == code)
    }
    #expect(try await bed.client.error("container.list", ["filter": "a\u{0}"])["code"] == "invalid_argument")
    // The old one is still there.
    #expect(try await bed.client.call("container.inspect", ["container": "c1"])["container"] == "c1")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aClientKilledInMidLineHarmsNobody() async throws {
    let bed = try await TestBed.start()
    let client = try bed.worker.connect()
    client.sendRaw(
      "{\"command\":\"run\",\"arguments\":{\"rootfs\":\"\(bed.rootfs)\",\"args\":[\"sleep\",\"1000\"]}}\n{\"comm"
    )
    let started = try await bed.client.event("task.started")
    client.close()
    // run ends with its connection.
    _ = try await bed.client.event("container.deleted", container: started["container"].string)
    try await bed.client.call("ping")
    try await bed.finish()
  }

  @Test func twoClientsWorkAtOnce() async throws {
    let bed = try await TestBed.start()
    let other = try bed.worker.connect()
    async let first = bed.client.call(
      "run", ["rootfs": JSON(bed.rootfs), "args": ["sh", "-c", "echo a; exit 4"]])
    async let second = other.call(
      "run", ["rootfs": JSON(bed.rootfs), "args": ["sh", "-c", "echo b; exit 5"]])
    let results = try await [first, second]
    #expect(results.map { $0["exit_code"] } == [4, 5])
    #expect(try bed.client.output(results[0]["container"].string ?? "") == Array("a\n".utf8))
    #expect(try other.output(results[1]["container"].string ?? "") == Array("b\n".utf8))
    try await bed.finish()
  }

  @Test func moreThanTheLimitInFlightIsBusyAndPingStillWorks() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    // A forced delete of a task whose process will not end soon cannot be had, so a run holds the lane.
    let runs = (0..<64).map { _ in
      bed.client.post(
        "run", ["rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]], extra: ["deadline_ms": 4000])
    }
    let refused = try await bed.client.error("container.list")
    #expect(refused["code"] == "busy")
    #expect(refused["retry"] == "later")
    #expect((refused["retry_after_ms"].int ?? 0) > 0)
    try await bed.client.call("ping")
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    for run in runs { try await bed.client.call("cancel", ["target": JSON(run)]) }
    for run in runs { #expect(try await bed.client.reply(to: run, seconds: 120).has("error")) }
    try await bed.client.call("task.delete", ["container": "c1"])
    try await bed.client.call("container.delete", ["container": "c1"])
    // What was cancelled cleans up behind its reply.
    var left = 1
    while left > 0 {
      left = try await bed.client.call("container.list")["containers"].array?.count ?? 0
      if left > 0 { _ = try await bed.client.event("container.deleted") }
    }
    try await bed.finish()
  }

  /// However many there are: each would be kept, and visited one by one when their turn comes.
  @Test func commandsThatAreStoppedInTheQueueLeaveIt() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let fifo = "\(bed.worker.stateDirectory)/bundles/c1/init-stdout"
    let writer = Descriptor(open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC))
    try #require(writer.rawValue >= 0)
    // It waits for the end of the output.
    let deletion = bed.client.post("task.delete", ["container": "c1", "force": true])
    for _ in 0..<4 {
      let stopped = (0..<32).map { _ in
        bed.client.post("task.pause", ["container": "c1"], extra: ["deadline_ms": 0])
      }
      for id in stopped {
        let error = try await bed.client.reply(to: id)["error"]
        #expect(error["code"] == "deadline_exceeded" && error["effect"] == "none")
      }
    }
    let last = bed.client.post("task.resume", ["container": "c1"])
    #expect(try await bed.client.call("worker.status")["queue"]["waiting"] == 2)
    writer.close()
    #expect(try await bed.client.result(of: deletion)["exit_code"] == 137)
    #expect(try await bed.client.reply(to: last)["error"]["code"] == "not_found")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aClientThatNeverReadsDisturbsNobody() async throws {
    let bed = try await TestBed.start()
    let deaf = try #require(try UnixSocket.connect(bed.worker.socket))
    let line = #"{"command":"run","arguments":{"rootfs":"\#(bed.rootfs)","args":["yes"]}}"# + "\n"
    _ = Array(line.utf8).withUnsafeBytes { write(deaf.rawValue, $0.baseAddress, $0.count) }
    let started = try await bed.client.event("task.started")
    for _ in 0..<20 { try await bed.client.call("ping") }
    #expect(try await bed.run("c1", ["echo", "fine"])["exit_code"] == 0)
    #expect(bed.worker.residentKiB < 100 * 1024)
    deaf.close()
    // What nobody can read any more holds up neither the end nor the clean-up.
    let closed = try await bed.client.event("process.closed", container: started["container"].string)
    #expect(closed["stdout"]["end"] == "eof")
    _ = try await bed.client.event("container.deleted", container: started["container"].string)
    try await bed.finish()
  }

  @Test func onlyWhoIsAllowedMayConnect() async throws {
    let containerd = try await PrivateContainerd.shared()
    let cases: [(options: [String], uid: Int, gid: Int, answer: String)] = [
      ([], 65534, 65534, "Permission denied"),
      (["--allow-uid", "65534"], 65534, 65534, #"{"hello""#),
      (["--allow-uid", "1", "--allow-uid", "65534"], 65534, 65534, #"{"hello""#),
      (["--allow-uid", "65534"], 1, 65534, #"{"error":{"code":"permission_denied""#),
      (["--allow-gid", "5"], 65534, 5, #"{"hello""#),
      (["--allow-gid", "5"], 65534, 65534, #"{"error":{"code":"permission_denied""#),
    ]
    for (number, (options, uid, gid, answer)) in cases.enumerated() {
      // In a directory that the worker makes, with the rights that the options ask for.
      let socket = "\(Sandbox.directory)/allow\(number)/w.sock"
      let worker = try await WorkerProcess.start(
        containerd: containerd.address, options: options, socket: socket)
      let asked = try await ChildProcess.run(
        "/usr/bin/setpriv",
        [
          "--reuid", "\(uid)", "--regid", "\(gid)", "--clear-groups", "socat", "-", "UNIX-CONNECT:\(socket)",
        ])
      #expect(asked.output.contains(answer), "\(options) as \(uid):\(gid)")
      #expect(await worker.terminate() == .exited(0))
    }
  }

  @Test func aStaleSocketIsReplacedAndALiveOneRefused() async throws {
    let bed = try await TestBed.start()
    await #expect(throws: (any Error).self) {
      _ = try await WorkerProcess.start(containerd: bed.containerd.address, socket: bed.worker.socket + "x")
      _ = try await WorkerProcess.start(containerd: "not absolute")
    }
    let refused = try await ChildProcess.run(
      WorkerProcess.binary(),
      [
        "--listen", bed.worker.socket, "--state-dir", bed.worker.stateDirectory + "2", "--containerd-address",
        "/x",
      ])
    #expect(refused.status == .exited(1))
    #expect(refused.output.contains("in use"))
    bed.worker.process.signal(9)
    _ = await bed.worker.process.wait()
    let next = try await WorkerProcess.start(containerd: bed.containerd.address, socket: bed.worker.socket)
    _ = try await next.connect().greeting()
    #expect(await next.terminate() == .exited(0))
  }

  @Test func stopLeavesContainersRunningAndTheNextWorkerTakesThemOver() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["cat"], stdin: true)
    #expect(await bed.worker.terminate() == .exited(0))
    _ = try await bed.client.event("worker.draining")
    try await bed.client.ended()
    let next = try await WorkerProcess.start(
      containerd: bed.containerd.address, stateDirectory: bed.worker.stateDirectory,
      namespace: bed.worker.namespace)
    let client = try next.connect()
    _ = try await client.greeting()
    #expect(try await client.call("process.status", ["container": "c1"])["status"] == "running")
    try await client.call("stdio.attach", ["container": "c1"])
    try await client.call("stdio.write", ["container": "c1", "text": "after"])
    try await client.call("stdio.close", ["container": "c1"])
    #expect(try await client.event("process.closed", container: "c1")["exit_code"] == 0)
    #expect(try client.output("c1") == Array("after".utf8))
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await next.terminate() == .exited(0))
  }
}
