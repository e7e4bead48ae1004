internal import FIFOIO
internal import Protocol
internal import Runtime

extension Connection {
  func checkIsThere() throws(ProtocolError) {
    if isGone { throw ProtocolError(.cancelled, "the connection has gone") }
  }

  /// Whether an attachment is one that this client may ask for.
  func checkTakes(_ attachment: Attachment?) throws(ProtocolError) {
    guard let attachment, attachment.mode != .json else { return }
    try checkIsThere()
    guard features.contains(.attachFD) else {
      throw ProtocolError(
        .wrongState, "say hello with \"accept\":[\"attach.fd\"] first", argument: "mode")
    }
    if attachment.window != nil || attachment.role != nil || !attachment.from.isEmpty {
      throw ProtocolError(.invalidArgument, "this mode has no window, role or from", argument: "mode")
    }
  }
}

/// Streams whose descriptors a client gets.
extension ContainerProcess {
  /// Gives streams away; their descriptors go with the reply, in the order in which it names them.
  func giveAway(_ attachment: Attachment, _ context: CommandContext) async throws(ProtocolError) -> JSONValue
  {
    try context.connection.checkTakes(attachment)
    let streams = StreamName.allCases.filter { attachment.streams.contains($0) }
    if streams.contains(.stdin), attachment.mode == .fd {
      try await untilStdinIsWritten()
      try context.connection.checkIsThere()
    }
    // All of them or none: nothing is given away before everything is looked at, and nobody comes in between.
    for stream in streams where stream != .stdin {
      guard let reader = reader(stream) else { continue }
      try checkIsFree(stream, reader, context.connection)
    }
    var told: [String: JSONValue] = [:]
    var names: [JSONValue] = []
    for stream in streams {
      if let reader = reader(stream), reader.end != nil {
        // There is nothing to give away any more; what is left of it comes as lines.
        var rest = Attachment()
        (rest.streams, rest.encoding) = ([stream], attachment.encoding)
        told.merge(try attach(rest, to: context.connection).object ?? [:]) { _, new in new }
        continue
      }
      guard let given = try giveAway(stream, attachment, context.connection) else { continue }
      told[stream.rawValue] = ["offset": .int(Int64(given.offset)), "fd": .int(names.count)]
      names.append(.string(stream.rawValue))
      context.ticket.descriptors.append(given.descriptor)
    }
    told["fds"] = .array(names)
    return .object(told)
  }

  private func untilStdinIsWritten() async throws(ProtocolError) {
    do throws(StdinMachine.Refusal) {
      try await stdin?.untilWritten()
    } catch {
      // Nor will it be.
      if error != .broken { throw ProtocolError(error, container: container, process: name) }
    }
  }

  private func checkIsFree(
    _ stream: StreamName, _ reader: OutputReader, _ connection: Connection
  ) throws(ProtocolError) {
    let isFree =
      reader.controller == nil || reader.controller === connection.attachments.sink(of: self, stream)
    if !isFree || reader.isGivenAway {
      throw ProtocolError(
        .wrongState, "\(stream.rawValue) is \(isFree ? "handed over" : "read by another controller")",
        container: container, process: name.description)
    }
  }

  /// Nil for a stream that the process does not have.
  private func giveAway(
    _ stream: StreamName, _ attachment: Attachment, _ connection: Connection
  ) throws(ProtocolError) -> (descriptor: SharedDescriptor, offset: UInt64)? {
    do {
      guard stream != .stdin else {
        guard let stdin else { return nil }
        do {
          return (try attachment.mode == .fd ? stdin.handOver() : stdin.openPipe(), stdin.offset)
        } catch StdinMachine.Refusal.broken {
          // The process may have ended just now, or a little later: that is the same to its client.
          return (try StdinWriter.brokenEnd(), stdin.offset)
        }
      }
      guard let reader = reader(stream) else { return nil }
      let last = connection.attachments.sink(of: self, stream)
      if attachment.mode == .fd {
        // What was read before comes as lines, before the reply.
        last?.leave()
        StreamSink.deliverRest(of: reader, self, stream, attachment.encoding, to: connection)
        let offset = reader.bytesRead
        return reader.handOver().map { ($0, offset) }
      }
      if reader.position < reader.oldest {
        StreamSink.tellGap(to: reader.oldest, of: reader, self, stream, to: connection)
      }
      let pipe = try reader.openPipe()
      last?.leave()
      return (pipe.end, pipe.offset)
    } catch let refusal as StdinMachine.Refusal {
      throw ProtocolError(refusal, container: container, process: name)
    } catch {
      throw ProtocolError(.io, "\(error)", container: container, process: name.description)
    }
  }
}
