internal import FIFOIO
internal import Protocol
internal import Runtime

/// One output stream of a process on its way to one connection.
@Loop
final class StreamSink: OutputSink {
  let process: ContainerProcess
  let stream: StreamName
  let role: StreamRole
  /// The first byte that the client has not been sent.
  private(set) var position: UInt64
  /// The first byte that it may not be sent yet; nil where the connection alone decides.
  private(set) var credit: UInt64?
  /// True while it has a place in the connection's outbox.
  var isQueued = false
  /// True once the client has been sent something, if only that something is gone.
  private var hasBegun = false
  private let reader: OutputReader
  private let line: StdioLine
  // It may go while a stream still knows of this sink.
  private weak var connection: Connection?
  private var over = false

  init(
    _ reader: OutputReader, of process: ContainerProcess, stream: StreamName, role: StreamRole,
    from position: UInt64,
    window: UInt64?, encoding: Encoding, to connection: Connection
  ) {
    self.reader = reader
    self.process = process
    self.stream = stream
    self.role = role
    self.position = position
    self.connection = connection
    credit = window.map { position + $0 }
    line = StdioLine(
      container: process.container, process: process.name, stream: stream, encoding: encoding)
  }

  /// Bytes that could be sent now.
  var waiting: UInt64 { min(reader.bytesRead, credit ?? .max) - min(position, credit ?? .max) }

  func wake() {
    if !over { connection?.ready(self) }
  }

  /// Grants more, up to an absolute offset; less than before is no error and no change, and so is any without a window.
  ///
  /// - Returns: up to where it is granted now.
  func grant(upTo offset: UInt64) -> UInt64 {
    guard let credit else { return offset }
    let granted = max(credit, offset)
    self.credit = granted
    wake()
    return granted
  }

  /// Writes its next line; true when another one could follow.
  func pull(into bytes: inout [UInt8]) -> Bool {
    if over { return false }
    if position < reader.oldest {
      gap(to: reader.oldest, reason: missed, into: &bytes)
      return true
    }
    let chunk = reader.bytes(from: position, atMost: Int(min(waiting, UInt64(Limits.chunk))))
    let end = position + UInt64(chunk.count)
    let isLast = reader.end != nil && end == reader.bytesRead
    if chunk.isEmpty {
      if isLast { finish(into: &bytes) }
      return false
    }
    // What was held back, part of a character, comes again with what follows.
    let taken = line.append(chunk, offset: position, final: isLast, to: &bytes)
    move(to: position + UInt64(taken))
    return taken > 0
  }

  /// What comes next went through another client's pipe.
  private var isGivenAway: Bool { position < reader.givenAway }

  /// Why what comes next is not there.
  private var missed: String {
    if isGivenAway { return "handed_over" }
    return role == .controller || !hasBegun ? "expired" : "slow"
  }

  private func move(to offset: UInt64) {
    position = offset
    hasBegun = true
    if role == .controller { reader.took(upTo: offset, by: self) }
  }

  /// Sends all that nobody has taken yet, as fast as the client takes it, ahead of everything that is sent later. Nothing
  /// more is to be read meanwhile.
  ///
  /// - Returns: whether all of it is on its way.
  func deliverRest() async -> Bool {
    guard let connection else { return false }
    while true {
      // Before each line, as others may do the same.
      await connection.waitUntilTaken()
      if over || position == reader.bytesRead { return true }
      if connection.isGone || Task.isCancelled { return false }
      connection.send { if !pull(into: &$0) { appendRest(to: &$0) } }
    }
  }

  /// What a client that takes the stream another way does not get.
  static func tellGap(
    to offset: UInt64, of reader: OutputReader, _ process: ContainerProcess, _ stream: StreamName,
    to connection: Connection
  ) {
    let sink = StreamSink(
      reader, of: process, stream: stream, role: .observer, from: reader.position, window: nil,
      encoding: .auto,
      to: connection)
    connection.send { sink.gap(to: offset, reason: "expired", into: &$0) }
  }

  /// The beginning of a character, whose rest comes another way or not at all.
  private func appendRest(atMost count: Int = .max, to bytes: inout [UInt8]) {
    let chunk = reader.bytes(from: position, atMost: count)
    if chunk.isEmpty { return }
    move(to: position + UInt64(line.append(chunk, offset: position, final: true, to: &bytes)))
  }

  // MARK: - Ends

  func gave(up range: Range<UInt64>) {
    // Before the process.closed that follows, which does not wait behind stdio.
    connection?.send { bytes in
      if !range.isEmpty { gap(to: range.upperBound, reason: "timeout", into: &bytes) }
      end(into: &bytes)
    }
  }

  func finish() {
    if over { return }
    connection?.send { bytes in
      // What a client that reads can have at once it gets.
      if connection?.isCongested == false {
        while pull(into: &bytes) {}
        if !over { appendRest(atMost: Int(waiting), to: &bytes) }
      }
      if position < reader.bytesRead {
        gap(to: reader.bytesRead, reason: isGivenAway ? missed : "slow", into: &bytes)
      }
      if !over { end(into: &bytes) }
    }
  }

  private func finish(into bytes: inout [UInt8]) {
    end(into: &bytes)
    reader.tookEnd(by: self)
  }

  private func end(into bytes: inout [UInt8]) {
    over = true
    connection?.attachments.remove(self)
    ServerLine.write(into: &bytes) { writer in
      head(.stdioEOF, &writer)
      writer.field("offset", position)
      if let end = reader.end, end != .eof { writer.field("end", end.rawValue) }
    }
  }

  private func gap(to offset: UInt64, reason: String, into bytes: inout [UInt8]) {
    ServerLine.write(into: &bytes) { writer in
      head(.stdioGap, &writer)
      writer.field("from", position)
      writer.field("to", offset)
      writer.field("reason", reason)
    }
    move(to: offset)
  }

  private func head(_ event: EventName, _ writer: inout JSONWriter) {
    writer.field("event", event.rawValue)
    writer.field("container", process.container)
    writer.field("process", process.name.description)
    writer.field("stream", stream.rawValue)
  }

  /// The client wants no more of it.
  func leave() {
    connection?.attachments.leave(self)
    detach()
  }

  func detach() {
    over = true
    reader.detach(self)
  }
}

extension ContainerProcess {
  var name: ProcessName { exec.map(ProcessName.exec) ?? .initial }

  func reader(_ stream: StreamName) -> OutputReader? {
    switch stream {
    case .stdin: nil
    case .stdout: stdout
    case .stderr: stderr
    }
  }
}
