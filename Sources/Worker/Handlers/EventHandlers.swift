internal import FIFOIO
internal import Journal
internal import Protocol
internal import Runtime

extension EventsSubscribe: HandledCommand {
  var route: Route { .free }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let (server, connection) = (context.server, context.connection)
    // Not awaited behind the place: nothing may happen between it and the snapshot.
    let known = Set(server.runtime.containers.keys)
    let listed = await server.containerIDs()?.filter {
      !known.contains($0) || server.runtime.containers[$0] != nil
    }
    let journal = server.journal
    let place = try place(in: journal)
    connection.subscription = Subscription(filter: filter, replayed: place)
    // A number that a crash takes back is the next worker's, for another event.
    context.ticket.resultFollows = journal.appendedWithLast
    context.ticket.afterReplying { connection.replay() }
    return [
      "cursor": ["epoch": .string(journal.epoch), "seq": .int(Int64(place))],
      "snapshot": server.snapshot(listed),
    ]
  }

  /// The last event that the client has, or does not want.
  @Loop
  private func place(in journal: Journal) throws(ProtocolError) -> UInt64 {
    switch from {
    case .now: return journal.last
    case .start: return journal.first - 1
    case .after(let epoch, let sequence):
      if epoch == journal.epoch, sequence + 1 >= journal.first, sequence <= journal.last { return sequence }
      throw ProtocolError(
        .cursorExpired,
        "events \(journal.first) to \(journal.last) of epoch \(journal.epoch) can be had", argument: "from")
    }
  }
}

extension EventsAck: HandledCommand {
  var route: Route { .free }
  var isRepeatable: Bool { true }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let journal = context.server.journal
    if sequence > journal.last {
      throw ProtocolError(.invalidArgument, "the last event is \(journal.last)", argument: "seq")
    }
    journal.append(.acknowledge(sequence))
    await journal.flush()
    return ["first": .int(Int64(journal.first)), "last": .int(Int64(journal.lastWritten))]
  }
}

extension Server {
  /// The ids of all containers of the namespace; nil where containerd does not tell.
  func containerIDs() async -> [String]? {
    guard runtime.connected else { return nil }
    do throws(RuntimeError) {
      return try await runtime.list([]).map(\.id)
    } catch {
      return nil
    }
  }

  /// What there is now, after the event `seq`.
  func snapshot(_ listed: [String]?) -> JSONValue {
    let ids = Set(runtime.containers.keys).union(listed ?? [])
    let containers = ids.sorted().map { id -> JSONValue in
      guard let container = runtime.containers[id] else { return ["container": .string(id)] }
      return .object([
        "container": .string(id), "task": container.task.map { $0.description(in: container) } ?? .null,
        "processes": .array(
          container.processes.filter { !$0.isDeleted }.sorted { ($0.exec ?? "") < ($1.exec ?? "") }
            .map { $0.description(in: container) }),
      ])
    }
    return [
      "seq": .int(Int64(journal.last)), "complete": .bool(listed != nil), "containers": .array(containers),
    ]
  }
}
