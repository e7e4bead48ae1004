internal import FIFOIO
internal import Protocol
internal import Runtime

extension ContainerProcess {
  /// Gives the streams to a connection, from where the last reader stopped.
  func attach(_ attachment: Attachment, to connection: Connection) throws(ProtocolError) -> JSONValue {
    let streams = StreamName.allCases.filter { attachment.streams.contains($0) }
    for stream in streams {
      guard let sink = reader(stream)?.sink, sink !== connection.sink(of: self, stream) else { continue }
      throw ProtocolError(
        .wrongState, "\(stream.rawValue) has another reader", container: container, process: name.description)
    }
    var offsets: [String: JSONValue] = [:]
    for stream in streams {
      guard let reader = reader(stream) else { continue }
      offsets[stream.rawValue] = ["offset": .int(Int64(reader.bytesDelivered))]
      connection.sink(of: self, stream)?.leave()
      let sink = StreamSink(reader, of: self, stream: stream, encoding: attachment.encoding, to: connection)
      connection.add(sink)
      reader.attach(sink)
    }
    return .object(offsets)
  }
}

/// The process that a stdio command speaks of.
@Loop
private func find(_ container: String, _ name: ProcessName, _ context: CommandContext)
  async throws(ProtocolError)
  -> ContainerProcess
{
  let runtime = context.server.runtime
  let loaded = try await translating(container: container, process: name) { () async throws(RuntimeError) in
    try await runtime.load(container)
  }
  if let process = loaded.process(name.exec) { return process }
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
  var route: Route { .stdio(container, process) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let process = try await find(container, process, context)
    try await translating(container: container, process: self.process) { () async throws(RuntimeError) in
      try await context.server.runtime.openOutputs(of: process)
    }
    return try process.attach(attachment, to: context.connection)
  }
}

extension StdioDetach: HandledCommand {
  var route: Route { .stdio(container, process) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let process = try await find(container, process, context)
    var offsets: [String: JSONValue] = [:]
    for stream in streams {
      guard let sink = context.connection.sink(of: process, stream) else { continue }
      sink.leave()
      offsets[stream.rawValue] = ["offset": .int(Int64(process.reader(stream)?.bytesDelivered ?? 0))]
    }
    return .object(offsets)
  }
}

extension StdioWrite: HandledCommand {
  var route: Route { .stdio(container, process) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let stdin = try await findStdin(container, process, context)
    do throws(StdinMachine.Refusal) {
      return ["offset": .int(Int64(try await stdin.write(bytes)))]
    } catch {
      throw ProtocolError(error, container: container, process: process)
    }
  }
}

extension StdioClose: HandledCommand {
  var route: Route { .stdio(container, process) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let stdin = try await findStdin(container, process, context)
    stdin.close()
    return ["offset": .int(Int64(stdin.offset))]
  }
}
