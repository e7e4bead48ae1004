internal import Foundation
internal import Glibc

/// Everything that a client has received, and who waits for something of it.
final class Inbox: Sendable {
  private struct Waiter: Sendable {
    let id: Int
    let fits: @Sendable (JSON) -> Bool
    let continuation: CheckedContinuation<JSON, any Error>
  }

  private struct OutputWaiter: Sendable {
    let id: Int
    let key: String
    let count: Int
    let continuation: CheckedContinuation<[UInt8], any Error>
  }

  private struct State: Sendable {
    var lines: [JSON] = []
    var history: [JSON] = []
    var waiters: [Waiter] = []
    var output: [String: [UInt8]] = [:]
    /// The offset of a stream's first byte that came, and of the next to come.
    var first: [String: Int] = [:]
    var next: [String: Int] = [:]
    var broken: [String: String] = [:]
    var outputWaiters: [OutputWaiter] = []
    var over = false
    var endWaiters: [Int: CheckedContinuation<Void, any Error>] = [:]
    var last = 0
  }

  private let state = Locked(State())
  private let log: @Sendable () -> String

  init(log: @escaping @Sendable () -> String) {
    self.log = log
  }

  // MARK: - Reading

  func read(_ descriptor: Descriptor) {
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    var partial: [UInt8] = []
    while true {
      let fd = descriptor.rawValue
      let count = fd < 0 ? 0 : buffer.withUnsafeMutableBytes { Glibc.read(fd, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      var rest = buffer[..<count]
      while let end = rest.firstIndex(of: 0x0A) {
        partial += rest[..<end]
        receive(partial)
        partial.removeAll(keepingCapacity: true)
        rest = rest[(end + 1)...]
      }
      partial += rest
    }
    finish()
  }

  private func receive(_ line: [UInt8]) {
    let parsed = try? line.withUnsafeBytes { try JSON.parse($0) }.value
    let json = parsed ?? .string("not JSON: " + String(decoding: line, as: UTF8.self))
    if json["event"].string == "stdio.data" { return keepOutput(json) }
    if json["event"].string == "stdio.gap" {
      state.with { $0.next[Self.key(json)] = json["to"].int }
    }
    let waiter = state.with { state -> Waiter? in
      state.history.append(json)
      guard let index = state.waiters.firstIndex(where: { $0.fits(json) }) else {
        state.lines.append(json)
        return nil
      }
      return state.waiters.remove(at: index)
    }
    waiter?.continuation.resume(returning: json)
  }

  private func keepOutput(_ json: JSON) {
    let key = Self.key(json)
    let bytes =
      json["text"].string.map { Array($0.utf8) }
      ?? Array(Data(base64Encoded: json["base64"].string ?? "") ?? Data())
    let (waiters, output) = state.with { state -> ([OutputWaiter], [UInt8]) in
      let offset = json["offset"].int ?? -1
      if state.output[key] == nil { state.first[key] = offset }
      if let next = state.next[key], next != offset {
        state.broken[key] = "offset \(offset) instead of \(next)"
      }
      state.next[key] = offset + bytes.count
      state.output[key, default: []] += bytes
      let count = state.output[key]?.count ?? 0
      let isServed = { (waiter: OutputWaiter) in waiter.key == key && waiter.count <= count }
      let served = state.outputWaiters.filter(isServed)
      if served.isEmpty { return ([], []) }
      state.outputWaiters.removeAll(where: isServed)
      return (served, state.output[key] ?? [])
    }
    for waiter in waiters { waiter.continuation.resume(returning: output) }
  }

  /// The output of a stream once there are so many bytes of it.
  func output(_ key: String, atLeast count: Int, seconds: Double) async throws -> [UInt8] {
    try await withCheckedThrowingContinuation { continuation in
      let (output, id) = state.with { state -> ([UInt8]?, Int) in
        if let output = state.output[key], output.count >= count { return (output, 0) }
        state.last += 1
        state.outputWaiters.append(
          OutputWaiter(id: state.last, key: key, count: count, continuation: continuation))
        return (nil, state.last)
      }
      if let output { return continuation.resume(returning: output) }
      DispatchQueue.global().asyncAfter(deadline: .now() + seconds) {
        let waiter = self.state.with { state in
          state.outputWaiters.firstIndex { $0.id == id }.map { state.outputWaiters.remove(at: $0) }
        }
        waiter?.continuation.resume(
          throwing: TestFailure("no \(count) bytes of \(key) in time; \(self.recent())"))
      }
    }
  }

  private func finish() {
    let (waiters, ends) = state.with { state in
      state.over = true
      defer {
        state.waiters = []
        state.endWaiters = [:]
      }
      return (state.waiters, state.endWaiters)
    }
    for waiter in waiters {
      waiter.continuation.resume(throwing: TestFailure("the connection has ended; " + recent()))
    }
    for continuation in ends.values { continuation.resume() }
  }

  // MARK: - Waiting

  func line(_ what: String, seconds: Double, where fits: @escaping @Sendable (JSON) -> Bool) async throws
    -> JSON
  {
    try await withCheckedThrowingContinuation { continuation in
      let (found, over, id) = state.with { state -> (JSON?, Bool, Int) in
        if let index = state.lines.firstIndex(where: fits) {
          return (state.lines.remove(at: index), false, 0)
        }
        if state.over { return (nil, true, 0) }
        state.last += 1
        state.waiters.append(Waiter(id: state.last, fits: fits, continuation: continuation))
        return (nil, false, state.last)
      }
      if let found { return continuation.resume(returning: found) }
      if over {
        return continuation.resume(throwing: TestFailure("\(what): the connection has ended; \(recent())"))
      }
      DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { self.expire(id, what) }
    }
  }

  private func expire(_ id: Int, _ what: String) {
    let waiter = state.with { state in
      state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
    }
    waiter?.continuation.resume(throwing: TestFailure("no \(what) in time; \(recent())"))
  }

  func ended(seconds: Double) async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      let (over, id) = state.with { state -> (Bool, Int) in
        if state.over { return (true, 0) }
        state.last += 1
        state.endWaiters[state.last] = continuation
        return (false, state.last)
      }
      if over { return continuation.resume() }
      DispatchQueue.global().asyncAfter(deadline: .now() + seconds) {
        let waiter = self.state.with { $0.endWaiters.removeValue(forKey: id) }
        waiter?.resume(throwing: TestFailure("the connection did not end; \(self.recent())"))
      }
    }
  }

  func output(_ key: String, from first: Int) throws -> [UInt8] {
    let (bytes, begin, broken) = state.with { ($0.output[key] ?? [], $0.first[key] ?? first, $0.broken[key]) }
    if let broken { throw TestFailure("\(key): \(broken)") }
    if begin != first { throw TestFailure("\(key): began at \(begin)") }
    return bytes
  }

  private static func key(_ json: JSON) -> String {
    [json["container"], json["process"], json["stream"]].map { $0.string ?? "" }.joined(separator: "/")
  }

  func history() -> [JSON] { state.with { $0.history } }

  private func recent() -> String {
    let lines = state.with { $0.history.suffix(8) }.map { "  \($0)" }.joined(separator: "\n")
    return "last lines:\n\(lines)\nlog:\n\(log().suffix(2000))"
  }
}
