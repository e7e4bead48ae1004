internal import FIFOIO
internal import Protocol
internal import Runtime

extension ContainerProcess {
  /// Gives streams to a connection; all of them or none.
  func attach(_ attachment: Attachment, to connection: Connection) throws(ProtocolError) -> JSONValue {
    try connection.checkIsThere()
    var places: [(stream: StreamName, reader: OutputReader, role: StreamRole, from: UInt64)] = []
    for stream in StreamName.allCases where attachment.streams.contains(stream) {
      guard let reader = reader(stream) else { continue }
      let role = try role(attachment.role, of: connection, stream, reader)
      let from = attachment.from[stream] ?? (role == .controller ? reader.position : reader.bytesRead)
      if from > reader.bytesRead {
        throw ProtocolError(
          .invalidArgument, "\(stream.rawValue) has \(reader.bytesRead) bytes so far", argument: "from",
          container: container, process: name.description)
      }
      places.append((stream, reader, role, from))
    }
    var told: [String: JSONValue] = [:]
    if attachment.streams.contains(.stdin), let stdin {
      connection.attachments.followStdin(of: self, true)
      told["stdin"] = ["offset": .int(Int64(stdin.offset)), "credit": .int(Int64(stdin.credit))]
    }
    for place in places {
      let sink = StreamSink(
        place.reader, of: self, stream: place.stream, role: place.role, from: place.from,
        window: attachment.window,
        encoding: attachment.encoding, to: connection)
      let last = connection.attachments.sink(of: self, place.stream)
      connection.attachments.add(sink)
      switch place.role {
      case .controller: place.reader.attach(controller: sink, at: place.from)
      case .observer: place.reader.attach(observer: sink)
      }
      // After the new one has its place: a stream that nobody has could be taken to be over.
      last?.leave()
      told[place.stream.rawValue] = ["offset": .int(Int64(place.from)), "role": .string(place.role.rawValue)]
    }
    return .object(told)
  }

  /// The controller is who came first, until it goes.
  private func role(
    _ wanted: StreamRole?, of connection: Connection, _ stream: StreamName, _ reader: OutputReader
  ) throws(ProtocolError) -> StreamRole {
    if reader.isGivenAway {
      throw ProtocolError(
        .wrongState, "\(stream.rawValue) is handed over", container: container, process: name.description)
    }
    let isFree =
      reader.controller == nil || reader.controller === connection.attachments.sink(of: self, stream)
    if wanted == .controller, !isFree {
      throw ProtocolError(
        .wrongState, "\(stream.rawValue) has another controller", container: container,
        process: name.description)
    }
    return wanted ?? (isFree ? .controller : .observer)
  }
}

/// The process that a stdio command speaks of.
@Loop
private func find(_ container: String, _ name: ProcessName, _ context: CommandContext)
  async throws(ProtocolError)
  -> ContainerProcess
{
  let runtime = context.server.runtime
  do throws(RuntimeError) {
    if let process = try await runtime.load(container).process(name.exec) { return process }
  } catch {
    // Of one that ran under an earlier worker, too, the streams are here, whatever containerd would say.
    guard [.unavailable, .unreachable].contains(error.kind),
      let process = runtime.containers[container]?.process(name.exec), process.isOwn,
      process.life.phase >= .started
    else { throw ProtocolError(error, container: container, process: name) }
    return process
  }
  throw ProtocolError(
    .notFound, "container \(container) has no \(name == .initial ? "task" : "process \(name)")",
    container: container, process: name.description)
}

@Loop
private func findStdin(_ container: String, _ name: ProcessName, _ context: CommandContext)
  async throws(ProtocolError)
  -> StdinWriter
{
  let process = try await find(container, name, context)
  try await translating(container: container, process: name) { () async throws(RuntimeError) in
    try await context.server.runtime.openStdin(of: process)
  }
  if let stdin = process.stdin { return stdin }
  throw ProtocolError(
    .wrongState, "the process was started without stdin", container: container, process: name.description)
}

extension StdioAttach: HandledCommand {
  // What takes stdin away waits until it is written.
  var route: Route {
    attachment.mode != .json && attachment.streams.contains(.stdin)
      ? .stdin(container, process) : .output(container, process)
  }
  var takesKey: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let process = try await find(container, process, context)
    try await translating(container: container, process: self.process) { () async throws(RuntimeError) in
      try await context.server.runtime.openOutputs(of: process)
      if attachment.streams.contains(.stdin) { try await context.server.runtime.openStdin(of: process) }
    }
    if attachment.mode != .json { return try await process.giveAway(attachment, context) }
    return try process.attach(attachment, to: context.connection)
  }
}

extension StdioDetach: HandledCommand {
  var route: Route { .output(container, process) }
  var takesKey: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let process = try await find(container, process, context)
    var offsets: [String: JSONValue] = [:]
    if streams.contains(.stdin) { context.connection.attachments.followStdin(of: process, false) }
    for stream in streams {
      guard let sink = context.connection.attachments.sink(of: process, stream) else { continue }
      sink.leave()
      offsets[stream.rawValue] = ["offset": .int(Int64(sink.position))]
    }
    return .object(offsets)
  }
}

extension StdioCredit: HandledCommand {
  var route: Route { .outOfBand }
  var takesKey: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    // Not loaded where it is not at hand: what this connection is attached to is.
    let process = context.server.runtime.containers[container]?.process(process.exec)
    guard let process, let sink = context.connection.attachments.sink(of: process, stream) else {
      throw ProtocolError(
        .wrongState, "this connection is not attached to \(stream.rawValue)", container: container,
        process: self.process.description)
    }
    return ["offset": .int(Int64(sink.grant(upTo: offset)))]
  }
}

extension StdioWrite: HandledCommand {
  var route: Route { .stdin(container, process) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let stdin = try await findStdin(container, process, context)
    do throws(StdinMachine.Refusal) {
      return ["offset": .int(Int64(try await stdin.write(bytes, at: offset)))]
    } catch {
      throw ProtocolError(error, container: container, process: process)
    }
  }
}

extension StdioClose: HandledCommand {
  var route: Route { .stdin(container, process) }
  var isRepeatable: Bool { true }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let stdin = try await findStdin(container, process, context)
    do throws(StdinMachine.Refusal) {
      try stdin.close(at: offset)
    } catch {
      throw ProtocolError(error, container: container, process: process)
    }
    return ["offset": .int(Int64(stdin.offset))]
  }
}
