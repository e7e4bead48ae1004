import Foundation
import Glibc
import Testing
import TestSupport

/// Who reads a stream: a controller, observers, several streams of one connection.
@Suite(.serialized)
struct ReaderTests {
  private let target: JSON = ["container": "c1"]

  private func numbers(_ lines: ClosedRange<Int>) -> String { NumberedLines.script(lines) }
  private func expected(_ range: Range<Int>) -> [UInt8] { NumberedLines.bytes(range) }

  private func create(_ bed: TestBed, _ args: [String]) async throws {
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": JSON(args)])
  }

  @Test func observersSeeTheSameAndTheControllerStaysOne() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", "read x; \(numbers(1...5000))"])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    let observers = try (0..<3).map { _ in try bed.worker.connect() }
    for observer in observers {
      #expect(try await observer.call("stdio.attach", target)["stdout"]["role"] == "observer")
      #expect(
        try await observer.error("stdio.attach", ["container": "c1", "role": "controller"])["code"]
          == "wrong_state")
    }
    try await bed.client.call("stdio.close", target)
    for reader in observers + [bed.client] {
      _ = try await reader.event("process.closed", container: "c1")
      #expect(try reader.output("c1") == expected(0..<40_000))
      // Everything that is told of a process comes before its end.
      let names = reader.history().compactMap { $0["event"].string }
      let closed = try #require(names.firstIndex(of: "process.closed"))
      #expect(names.lastIndex(of: "stdio.eof").map { $0 < closed } == true)
    }
    for observer in observers { observer.close() }
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// A random schedule of observers that are slow, stall or die: the controller's bytes are the same, and all of them.
  @Test(arguments: [1, 2, 3] as [UInt64]) func observersNeverHarmTheController(seed: UInt64) async throws {
    let bed = try await TestBed.start()
    var random = SplitMix(state: seed)
    try await create(bed, ["sh", "-c", "read x; \(numbers(1...300_000))"])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    // These never read a byte.
    let deaf = try (0..<4).map { _ in try #require(try UnixSocket.connect(bed.worker.socket)) }
    for (number, descriptor) in deaf.enumerated() {
      let line = #"{"command":"stdio.attach","id":\#(number),"arguments":{"container":"c1"}}"# + "\n"
      _ = Array(line.utf8).withUnsafeBytes { write(descriptor.rawValue, $0.baseAddress, $0.count) }
    }
    let readers = try (0..<3).map { _ in try bed.worker.connect() }
    for reader in readers { try await reader.call("stdio.attach", target) }
    try await bed.client.call("stdio.close", target)
    var at = 0
    for descriptor in deaf {
      at += Int(random.next() % 400_000)
      _ = try await bed.client.output(of: "c1", atLeast: at)
      descriptor.close()
      if random.next() % 2 == 0 { readers[Int(random.next() % 3)].close() }
    }
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 2_400_000, "end": "eof"])
    #expect(try bed.client.output("c1") == expected(0..<2_400_000))
    #expect(!bed.client.history().contains { $0["event"] == "stdio.gap" })
    for reader in readers { reader.close() }
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aSlowControllerThatGoesLeavesTheStreamToOthers() async throws {
    let bed = try await TestBed.start()
    try await create(bed, ["sh", "-c", numbers(1...100_000)])
    let slow = try bed.worker.connect()
    try await slow.call(
      "task.start", ["container": "c1", "attach": ["streams": ["stdout"], "window": 1000]])
    _ = try await slow.output(of: "c1", atLeast: 1000)
    try await slow.call("stdio.credit", ["container": "c1", "stream": "stdout", "offset": 30_000])
    _ = try await slow.output(of: "c1", atLeast: 30_000)
    slow.close()
    try await bed.client.call("stdio.attach", ["container": "c1", "from": ["stdout": 30_000]])
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 800_000, "end": "eof"])
    #expect(try bed.client.output("c1", from: 30_000) == expected(30_000..<800_000))
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// Without credit a connection's streams have turns: what one could send for ever leaves the other its place.
  @Test func streamsOfOneConnectionShareItFairly() async throws {
    let bed = try await TestBed.start()
    for id in ["c1", "c2"] {
      try await bed.client.call(
        "container.create", ["container": JSON(id), "rootfs": JSON(bed.rootfs), "args": ["yes", "a line"]])
      try await bed.client.call("task.start", ["container": JSON(id)])
    }
    let bytes = try await readBoth(bed, 1_500_000)
    #expect(bytes["c1", default: 0] > 400_000 && bytes["c2", default: 0] > 400_000, "\(bytes)")
    for id in ["c1", "c2"] { try await bed.remove(id) }
    try await bed.finish()
  }

  /// What came of each until so much had come together; the connection ends then.
  private func readBoth(_ bed: TestBed, _ total: Int) async throws -> [String: Int] {
    let reader = try DescriptorClient(bed.worker.socket)
    for id in ["c1", "c2"] { reader.send(["command": "stdio.attach", "arguments": ["container": JSON(id)]]) }
    var bytes: [String: Int] = [:]
    while bytes.values.reduce(0, +) < total {
      let (line, _) = try await reader.next()
      guard line["event"].string == "stdio.data", let id = line["container"].string else { continue }
      bytes[id, default: 0] += line["text"].string?.utf8.count ?? 0
    }
    return bytes
  }
}

/// Repeatable randomness.
private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
