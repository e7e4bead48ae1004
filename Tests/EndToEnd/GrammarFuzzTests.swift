import Foundation
import TestSupport
import Testing

/// Lines made from the protocol's grammar, right and wrong, over the live socket. The seed is `FUZZ_SEED`, 1 without
/// it; `FUZZ_LINES` says how many.
struct GrammarFuzzTests {
  @Test func theWorkerLivesAndAnswersEachLineOnce() async throws {
    let environment = ProcessInfo.processInfo.environment
    var grammar = Grammar(seed: environment["FUZZ_SEED"].flatMap { UInt64($0) } ?? 1)
    let count = environment["FUZZ_LINES"].flatMap { Int($0) } ?? 1500
    let bed = try await TestBed.start()
    // Some commands should meet something that runs.
    for id in ["c1", "c2"] {
      try await bed.startContainer(id, ["sh", "-c", "yes | head -c 100000; cat"], stdin: true)
    }
    let first = bed.client.history().compactMap { $0["line"].int }.count
    let before = bed.worker.residentKiB
    for number in first + 1...first + count {
      let line = grammar.line()
      bed.client.sendRaw(line + [0x0A])
      do {
        _ = try await bed.client.line("reply", seconds: 20) { $0["line"].int == number }
      } catch {
        Issue.record("\(error) after \(String(decoding: line.prefix(500), as: UTF8.self))")
        return
      }
    }
    // One answer a line, and nothing that is not JSON.
    let replies = bed.client.history().compactMap { $0["line"].int }
    #expect(replies.count == first + count)
    #expect(Set(replies).count == first + count)
    #expect(bed.worker.residentKiB < before + 20 * 1024)
    let containers = try await bed.client.call("container.list")["containers"].array ?? []
    for container in containers { try await bed.remove(container["container"].string ?? "") }
    try await bed.finish()
  }
}

/// Makes lines. No line is blank, and none has an LF inside.
private struct Grammar {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func line() -> [UInt8] {
    var bytes = Array(command().description.utf8)
    switch below(10) {
    case 0: mutate(&bytes)
    case 1: bytes = Array(bytes.prefix(1 + below(bytes.count)))
    default: break
    }
    bytes.removeAll { $0 == 0x0A }
    return bytes.allSatisfy { [0x20, 0x09, 0x0D, 0x1E].contains($0) } ? [0x7B] : bytes
  }

  private mutating func command() -> JSON {
    let names = [
      "hello", "ping", "version", "describe", "worker.status", "cancel", "container.create",
      "container.inspect",
      "container.list", "container.delete", "task.start", "task.delete", "process.exec", "process.kill",
      "process.status", "process.delete", "stdio.attach", "stdio.detach", "stdio.write", "stdio.close", "run",
      "task.pause", "task.resume", "task.update", "task.stats", "task.processes", "task.checkpoint",
      "process.resize", "stdio.credit", "nope",
    ]
    var members: [String: JSON] = ["command": .string(pick(names))]
    if below(3) > 0 { members["id"] = below(8) == 0 ? value(depth: 2) : .int(Int64(below(1000))) }
    if below(6) == 0 {
      members["deadline_ms"] = below(3) == 0 ? value(depth: 1) : .int(Int64(1 + below(3000)))
    }
    if below(12) == 0 { members["key"] = value(depth: 1) }
    if below(20) == 0 { members["x-extra"] = value(depth: 3) }
    if below(8) > 0 { members["arguments"] = below(15) == 0 ? value(depth: 3) : arguments() }
    return .object(members)
  }

  private mutating func arguments() -> JSON {
    let names = [
      "container", "process", "rootfs", "args", "env", "cwd", "user", "terminal", "stdin", "attach", "size",
      "text",
      "base64", "signal", "all", "force", "streams", "encoding", "target", "filter", "spec", "labels",
      "runtime", "mounts",
      "resources", "replace", "on_disconnect", "client", "accept", "bogus", "from", "window", "role", "mode",
      "offset", "stream",
      "stdio", "containers", "checkpoint", "directory", "columns", "rows", "exit",
    ]
    var members: [String: JSON] = [:]
    if below(5) > 0 { members["container"] = .string(pick(["c1", "c2", "c3"])) }
    for _ in 0..<below(5) {
      let name = pick(names)
      members[name] = below(4) == 0 ? value(depth: 3) : fitting(name)
    }
    return .object(members)
  }

  private mutating func fitting(_ name: String) -> JSON {
    switch name {
    case "container": .string(pick(["c1", "c2", "../c", "", String(repeating: "x", count: 77)]))
    case "process": .string(pick(["init", "e1", "c1", "-"]))
    case "rootfs", "cwd": .string(pick(["/no/such/place", "relative", "/"]))
    case "args", "env", "streams", "accept":
      .array([.string(pick(["true", "A=b", "stdout", "stderr", "stdin"]))])
    case "attach", "spec", "labels", "runtime", "resources":
      .object([pick(["streams", "process", "name"]): value(depth: 2)])
    case "from": below(2) == 0 ? .int(Int64(below(100))) : ["stdout": .int(Int64(below(100)))]
    case "window", "offset", "columns", "rows": .int(Int64(below(2000)))
    case "role": .string(pick(["controller", "observer", "other"]))
    case "mode": .string(pick(["json", "fd", "pipe", "other"]))
    case "stream": .string(pick(["stdin", "stdout", "stderr", "other"]))
    case "stdio":
      ["overflow": .string(pick(["block", "drop", "other"])), "backlog": .int(Int64(below(100_000)))]
    case "containers": .array([.string(pick(["c1", "c2", "../c"]))])
    case "checkpoint", "directory": .string(pick(["/no/such/place", "relative"]))
    case "exit": .bool(below(2) == 0)
    case "size": ["columns": .int(Int64(below(100))), "rows": 24]
    case "signal": below(2) == 0 ? .int(Int64(below(70))) : .string(pick(["TERM", "KILL", "NOPE"]))
    case "base64": .string(pick(["AAEC", "AA==", "A", "===="]))
    case "terminal", "stdin", "all", "force", "replace": .bool(below(2) == 0)
    default: .string(pick(["auto", "base64", "kill", "keep", "hello", "labels.a==b"]))
    }
  }

  private mutating func value(depth: Int) -> JSON {
    switch below(depth > 0 ? 9 : 7) {
    case 0: .null
    case 1: .bool(below(2) == 0)
    case 2: .int(Int64(below(1 << 40)) - (1 << 39))
    case 3: .double(Double(below(1000)) / 8)
    case 4: .string(pick(["", "x", "\u{0}", "é€😀", "\u{202E}", "\"\\\n"]))
    case 5: .string(String(repeating: "long", count: below(2000)))
    case 6: .int(.max)
    case 7: .array((0..<below(4)).map { _ in value(depth: depth - 1) })
    default: .object(["a": value(depth: depth - 1), "container": value(depth: depth - 1)])
    }
  }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    for _ in 0..<(1 + below(4)) where !bytes.isEmpty {
      let place = below(bytes.count)
      switch below(3) {
      case 0: bytes[place] = UInt8(below(256))
      case 1: bytes.remove(at: place)
      default: bytes.insert(UInt8(below(256)), at: place)
      }
    }
  }

  private mutating func pick(_ choices: [String]) -> String { choices[below(choices.count)] }

  /// xorshift64*
  private mutating func below(_ limit: Int) -> Int {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return Int((state &* 0x2545_F491_4F6C_DD1D) >> 33) % max(limit, 1)
  }
}
