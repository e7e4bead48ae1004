import TestSupport
import Testing

/// The worker is as it describes itself.
@Suite(.serialized)
struct DescribeTests {
  @Test func everyLineOfASessionIsAsDescribed() async throws {
    let bed = try await TestBed.start()
    let session = try await Session.start(bed.worker.socket)
    try await session.call(DescribeTests.life(bed.rootfs))
    // What went by without a reader is told as a gap.
    try await session.event("process.closed", of: "e3")
    try await session.call([
      ("stdio.attach", ["container": "c1", "process": "e3"]), ("stdio.close", ["container": "c1"]),
    ])
    try await session.event("process.closed", of: "init")
    try await session.call(DescribeTests.end(bed.rootfs))
    // What is no command at all.
    for text in ["{", "{\"command\":\"nope\",\"id\":1}", "{\"command\":1}", "{\"a\":1,\"a\":2}", "[]"] {
      try await session.sendWrong(text)
    }
    try await session.call([("ping", [:])])
    let seen = await session.seen
    let events = [
      "container.created", "container.deleted", "task.created", "task.started", "task.paused", "task.resumed",
      "task.deleted", "process.added", "process.started", "process.exited", "process.closed", "stdio.data",
      "stdio.eof", "stdio.gap", "stdin.credit",
    ]
    #expect(Set(events).subtracting(seen) == [])
    let codes = [
      "missing_argument", "unknown_argument", "invalid_argument", "unknown_command", "invalid_json",
      "not_found",
      "duplicate_key", "already_exists", "wrong_state", "start_failed", "cursor_expired",
    ]
    #expect(Set(codes).subtracting(seen) == [])
    try await bed.finish()
  }

  /// Commands in the order of a life, and what can be wrong with them.
  private static func life(_ rootfs: String) -> [(String, JSON)] {
    let c1: JSON = ["container": "c1"]
    return [
      ("hello", ["client": "a test", "accept": ["attach.fd"]]), ("ping", [:]), ("version", [:]),
      ("worker.status", [:]), ("describe", ["name": "run"]), ("cancel", ["target": "nobody"]),
      (
        "container.create",
        ["container": "c1", "rootfs": JSON(rootfs), "args": ["cat"], "labels": ["a": "b"]]
      ),
      ("container.create", ["container": "c1", "rootfs": JSON(rootfs), "args": ["cat"]]),
      ("process.kill", c1),
      (
        "task.start",
        ["container": "c1", "stdin": true, "attach": ["streams": ["stdin", "stdout"], "window": 8]]
      ),
      ("task.start", ["container": "c1", "attach": ["from": 1]]), ("task.start", [:]), ("ping", ["bogus": 1]),
      ("container.inspect", c1), ("container.list", [:]), ("container.list", ["filter": "id==c1"]),
      ("stdio.write", c1.merging(["text": "hello\n"])), ("stdio.write", c1.merging(["base64": "/wA="])),
      ("stdio.write", c1.merging(["text": JSON(String(repeating: "a", count: 600_000))])),
      ("stdio.credit", c1.merging(["stream": "stdout", "offset": 50_000])),
      ("stdio.detach", c1), ("stdio.attach", c1.merging(["from": ["stdout": 3]])),
      ("process.exec", c1.merging(["process": "e1", "args": ["sleep", "60"], "attach": ["mode": "json"]])),
      ("process.exec", c1.merging(["process": "e2", "args": ["no-such-program"]])),
      ("process.status", c1.merging(["process": "e1"])),
      ("process.resize", c1.merging(["columns": 80, "rows": 24])),
      ("task.processes", c1), ("task.stats", [:]), ("task.stats", ["containers": ["c1", "c9"]]),
      ("task.update", c1.merging(["resources": ["pids": ["limit": 100]]])),
      ("task.pause", c1), ("task.resume", c1), ("task.delete", c1),
      ("events.subscribe", ["from": "now"]), ("events.subscribe", ["from": ["epoch": "another", "seq": 1]]),
      ("events.ack", ["seq": 1]),
      ("process.kill", c1.merging(["process": "e1", "signal": "KILL"])),
      ("process.delete", c1.merging(["process": "e1"])),
      (
        "process.exec",
        c1.merging([
          "process": "e3", "args": ["sh", "-c", "yes | head -c 999999"],
          "stdio": ["overflow": "drop", "backlog": 4096],
        ])
      ),
    ]
  }

  private static func end(_ rootfs: String) -> [(String, JSON)] {
    let c1: JSON = ["container": "c1"]
    return [
      ("task.delete", c1), ("container.delete", c1), ("container.delete", c1),
      ("run", ["rootfs": JSON(rootfs), "args": ["echo", "hi"], "attach": ["encoding": "base64"]]),
      ("run", ["rootfs": JSON(rootfs), "args": ["echo", "hi"], "attach": ["mode": "fd"]]),
    ]
  }

  @Test func aLineThatIsNotAsDescribedIsFound() async throws {
    let bed = try await TestBed.start()
    let description = try await bed.client.call("describe")
    _ = try await bed.run("c1", ["true"])
    let exited = try await bed.client.event("process.exited", container: "c1")
    let schema = description["events"]["process.exited"]
    let validator = SchemaValidator(strict: true)
    #expect(validator.faults(of: exited, against: schema) == [])
    for (name, member) in exited.object ?? [:] {
      var less = exited.object ?? [:]
      less[name] = nil
      #expect(!validator.accepts(.object(less), schema), "without \(name)")
      let other: JSON = member.string == nil ? "another" : 1
      #expect(!validator.accepts(exited.merging([name: other]), schema), "\(name) of another type")
    }
    #expect(!validator.accepts(exited.merging(["more": 1]), schema))
    let error = try await bed.client.error("describe", ["name": "nope"])
    #expect(error["code"] == "not_found")
    try await bed.finish()
  }
}

/// A connection that holds every line against the description that the worker gave over it.
private actor Session {
  private let client: DescriptorClient
  private let description: JSON
  private var count = 0
  private(set) var seen: Set<String> = []

  private init(_ client: DescriptorClient, _ description: JSON) {
    (self.client, self.description) = (client, description)
  }

  static func start(_ socket: String) async throws -> Session {
    let client = try DescriptorClient(socket)
    let greeting = try await client.next().line
    let reply = try await client.call("describe", [:]).line
    let session = Session(client, reply["result"])
    await session.check(greeting)
    await session.check(reply, of: "describe")
    return session
  }

  func call(_ commands: [(String, JSON)]) async throws {
    for (command, arguments) in commands { try await call(command, arguments) }
  }

  /// Sends a command and checks it, its reply and what comes before that.
  private func call(_ command: String, _ arguments: JSON) async throws {
    count += 1
    let line: JSON = ["command": JSON(command), "id": .int(Int64(count)), "arguments": arguments]
    expectNone(SchemaValidator().faults(of: line, against: description["lines"]["command"]), line)
    client.send(line)
    let reply = try await read { [count] in $0["id"].int == count }
    check(reply, of: command)
    // What was done had arguments as described.
    if reply.has("result") {
      let schema = description["commands"][command]["arguments"]
      expectNone(SchemaValidator().faults(of: arguments, against: schema), line)
    }
  }

  func sendWrong(_ text: String) async throws {
    client.send(text: text)
    check(try await read { $0.has("error") })
  }

  /// Waits for an event of a process, which may have come before.
  func event(_ name: String, of process: String) async throws {
    if seen.contains("\(name) \(process)") { return }
    check(try await read { $0["event"].string == name && $0["process"].string == process })
  }

  /// Checks lines up to one, which is the caller's to check.
  private func read(until isLast: (JSON) -> Bool) async throws -> JSON {
    while true {
      let line = try await client.next().line
      if isLast(line) { return line }
      check(line)
    }
  }

  private func check(_ line: JSON, of command: String? = nil) {
    let kinds = ["hello", "result", "error", "event", "bye"].filter(line.has)
    guard kinds.count == 1, let kind = kinds.first else {
      Issue.record("\(line) has \(kinds)")
      return
    }
    let strict = SchemaValidator(strict: true)
    let isOpen = kind == "error" || kind == "event"
    expectNone(
      (isOpen ? SchemaValidator() : strict).faults(of: line, against: description["lines"][kind]), line)
    if let command, kind == "result" {
      expectNone(strict.faults(of: line["result"], against: description["commands"][command]["result"]), line)
      seen.insert(command)
    }
    if let event = line["event"].string {
      expectNone(strict.faults(of: line, against: description["events"][event]), line)
      seen.formUnion([event, "\(event) \(line["process"].string ?? "")"])
    }
    if let code = line["error"]["code"].string {
      expectNone(strict.faults(of: line["error"], against: description["errors"][code]["error"]), line)
      seen.insert(code)
    }
  }

  private func expectNone(_ faults: [String], _ line: JSON) {
    if !faults.isEmpty { Issue.record("\(faults.joined(separator: "; ")) in \(line)") }
  }
}
