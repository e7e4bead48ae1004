internal import Foundation
internal import Glibc

/// An error line.
package struct WireError: Error, CustomStringConvertible {
  package let line: JSON
  package var code: String { line["error"]["code"].string ?? "" }
  package var error: JSON { line["error"] }
  package var description: String { line.description }
}

/// A client of the worker: sends lines, keeps what comes, and lets tests wait for it.
package final class LineClient: Sendable {
  private let descriptor: Descriptor
  private let inbox: Inbox
  private let ids = Counter()

  package init(_ descriptor: Descriptor, log: @escaping @Sendable () -> String = { "" }) {
    self.descriptor = descriptor
    let inbox = Inbox(log: log)
    self.inbox = inbox
    // A descriptor of the reader's own: after `close` the number may be another client's, whose lines it would take.
    let reading = Descriptor(fcntl(descriptor.rawValue, F_DUPFD_CLOEXEC, 0))
    Thread.detachNewThread { inbox.read(reading) }
  }

  deinit { close() }

  // MARK: - Out

  package func sendRaw(_ bytes: [UInt8]) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(
          descriptor.rawValue, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return }
      sent += count
    }
  }

  package func sendRaw(_ text: String) { sendRaw(Array(text.utf8)) }

  package func send(_ json: JSON) { sendRaw(json.lineBytes) }

  /// Sends a command and returns its id.
  @discardableResult
  package func post(_ command: String, _ arguments: JSON = [:], extra: JSON = [:]) -> String {
    let id = "c\(ids.next())"
    let line: JSON = ["command": .string(command), "id": .string(id), "arguments": arguments]
    send(line.merging(extra))
    return id
  }

  /// Sends a command and waits for its result.
  @discardableResult
  package func call(
    _ command: String, _ arguments: JSON = [:], extra: JSON = [:], seconds: Double = 60
  ) async throws -> JSON {
    try await result(of: post(command, arguments, extra: extra), seconds: seconds)
  }

  /// The error that a command must end with.
  package func error(_ command: String, _ arguments: JSON = [:], extra: JSON = [:]) async throws -> JSON {
    let line = try await reply(to: post(command, arguments, extra: extra))
    guard line.has("error") else { throw TestFailure("no error: \(line)") }
    return line["error"]
  }

  package func halfClose() { shutdown(descriptor.rawValue, Int32(SHUT_WR)) }

  package func close() {
    shutdown(descriptor.rawValue, Int32(SHUT_RDWR))
    descriptor.close()
  }

  // MARK: - In

  /// The first line that fits and was not taken before.
  package func line(
    _ what: String, seconds: Double = 60, where fits: @escaping @Sendable (JSON) -> Bool
  ) async throws -> JSON {
    try await inbox.line(what, seconds: seconds, where: fits)
  }

  package func reply(to id: String, seconds: Double = 60) async throws -> JSON {
    try await line("reply to \(id)", seconds: seconds) { $0["id"].string == id }
  }

  package func result(of id: String, seconds: Double = 60) async throws -> JSON {
    let line = try await reply(to: id, seconds: seconds)
    guard line.has("result") else { throw WireError(line: line) }
    return line["result"]
  }

  package func greeting() async throws -> JSON {
    try await line("greeting") { $0.has("hello") }["hello"]
  }

  package func event(
    _ name: String, container: String? = nil, process: String? = nil, seconds: Double = 60
  ) async throws -> JSON {
    try await line("event \(name) of \(container ?? "any")", seconds: seconds) {
      $0["event"].string == name && (container == nil || $0["container"].string == container)
        && (process == nil || $0["process"].string == process)
    }
  }

  /// Waits until the worker has closed the connection.
  package func ended(seconds: Double = 30) async throws {
    try await inbox.ended(seconds: seconds)
  }

  /// The output that came so far, whose offsets must have been contiguous but for gaps that were told.
  package func output(
    _ container: String, _ process: String = "init", _ stream: String = "stdout", from first: Int = 0
  ) throws -> [UInt8] {
    try inbox.output("\(container)/\(process)/\(stream)", from: first)
  }

  /// Waits until so much output of a stream has come, and returns what there is of it then.
  package func output(
    of container: String, _ process: String = "init", _ stream: String = "stdout", atLeast count: Int,
    seconds: Double = 60
  ) async throws -> [UInt8] {
    try await inbox.output("\(container)/\(process)/\(stream)", atLeast: count, seconds: seconds)
  }

  /// Waits until the output of a stream has a text in it.
  package func text(
    _ text: String, of container: String, _ process: String = "init", _ stream: String = "stdout"
  ) async throws {
    var count = 1
    while true {
      let output = try await output(of: container, process, stream, atLeast: count)
      if String(decoding: output, as: UTF8.self).contains(text) { return }
      count = output.count + 1
    }
  }

  /// Names of the events of a process in the order in which they came, stdio left out.
  package func history() -> [JSON] { inbox.history() }
}
