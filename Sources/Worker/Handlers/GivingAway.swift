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
    guard attachment.mode == .fd else { return try giveAwayNow(streams, attachment, context) }
    if streams.contains(.stdin) { try await untilStdinIsWritten() }
    try await deliverRest(of: streams, attachment.encoding, context)
    do throws(ProtocolError) {
      return try giveAwayNow(streams, attachment, context)
    } catch {
      for stream in streams { reader(stream)?.endHold() }
      throw error
    }
  }

  /// All of them or none: nothing is given away before everything is looked at, and nobody comes in between.
  private func giveAwayNow(
    _ streams: [StreamName], _ attachment: Attachment, _ context: CommandContext
  ) throws(ProtocolError) -> JSONValue {
    try context.connection.checkIsThere()
    // They would go with the reply.
    if context.ticket.state == .replied { throw ProtocolError(.cancelled, "there is a reply already") }
    try checkAreFree(streams, context.connection)
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

  /// What was read of outputs before comes as lines, before the reply. They are held then.
  private func deliverRest(
    of streams: [StreamName], _ encoding: Encoding, _ context: CommandContext
  ) async throws(ProtocolError) {
    let connection = context.connection
    try checkAreFree(streams, connection)
    var sinks: [StreamSink] = []
    for stream in streams {
      // One that has ended is not given away.
      guard let reader = reader(stream), reader.end == nil else { continue }
      connection.attachments.sink(of: self, stream)?.leave()
      reader.hold()
      let sink = StreamSink(
        reader, of: self, stream: stream, role: .controller, from: reader.position, window: nil,
        encoding: encoding, to: connection)
      reader.attach(controller: sink, at: reader.position)
      sinks.append(sink)
    }
    var isDelivered = true
    for sink in sinks where isDelivered { isDelivered = await sink.deliverRest() }
    // All at once: as long as one of them is under way nobody else comes to be the controller of another.
    for sink in sinks { sink.detach() }
    if isDelivered { return }
    for stream in streams { reader(stream)?.endHold() }
    throw ProtocolError(.cancelled, "cancelled", container: container, process: name.description)
  }

  private func checkAreFree(_ streams: [StreamName], _ connection: Connection) throws(ProtocolError) {
    for stream in streams {
      guard let reader = reader(stream) else { continue }
      let isFree =
        reader.controller == nil || reader.controller === connection.attachments.sink(of: self, stream)
      if isFree, !reader.isGivenAway { continue }
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
      if attachment.mode == .fd {
        let offset = reader.bytesRead
        return reader.handOver().map { ($0, offset) }
      }
      if reader.position < reader.oldest {
        StreamSink.tellGap(to: reader.oldest, of: reader, self, stream, to: connection)
      }
      let last = connection.attachments.sink(of: self, stream)
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
