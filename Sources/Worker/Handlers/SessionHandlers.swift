internal import CLinux
internal import FIFOIO
internal import Journal
internal import Protocol
internal import Runtime

extension Hello: HandledCommand {
  var route: Route { .outOfBand }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let features = context.connection.accept(accept)
    return ["protocol": 1, "features": .array(features.map { .string($0.rawValue) })]
  }
}

extension Ping: HandledCommand {
  var route: Route { .outOfBand }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue { [:] }
}

extension Version: HandledCommand {
  var route: Route { .free }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let containerd = try await translating { () async throws(RuntimeError) in
      try await context.server.runtime.fetchVersion()
    }
    return [
      "worker": ["name": "containerd-worker", "version": .string(workerVersion)],
      "protocol": 1,
      "containerd": ["version": .string(containerd.version), "revision": .string(containerd.revision)],
    ]
  }
}

extension Describe: HandledCommand {
  var route: Route { .free }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try Description.of(about)
  }
}

extension WorkerStatus: HandledCommand {
  var route: Route { .outOfBand }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let server = context.server
    let runtime = server.runtime
    var usage = clinux_usage()
    _ = clinux_self_usage(&usage)
    let processes = runtime.containers.values.reduce(0) { $0 + $1.processes.filter { !$0.isDeleted }.count }
    return [
      "uptime_ms": .int(Int64((Time.monotonicMicroseconds - server.startedAt) / 1000)),
      "connections": ["open": .int(server.connectionCount), "accepted": .int(server.connectionsAccepted)],
      "queue": [
        "commands": .int(server.commandsInFlight), "lanes": .int(server.queue.laneCount),
        "waiting": .int(server.queue.length),
      ],
      "rpc": .object(runtime.containerd.calls.mapValues { .int($0) }),
      "rpc_in_flight": .int(runtime.containerd.liveCalls),
      "events": [
        "epoch": .string(server.journal.epoch), "first": .int(Int(server.journal.first)),
        "last": .int(Int(server.journal.lastWritten)),
        "received": .int(runtime.eventsReceived), "ignored": .int(runtime.eventsIgnored),
      ],
      "journal": [
        "written": .int(Int(server.journal.written)),
        "waiting": .int(Int(server.journal.appended - server.journal.written)),
        "keys": .int(server.keys.count), "failure": server.journal.failure.map(JSONValue.string) ?? .null,
      ],
      "bytes": ["waiting": .int(server.bytesWaiting)],
      "containers": .int(runtime.containers.count),
      "processes": .int(processes),
      "fds": .int(Int(usage.descriptors)),
      "threads": .int(Int(usage.threads)),
      "memory_bytes": .int(Int(usage.resident_bytes)),
      "watched_fds": .int(Poller.shared.load.descriptors),
      "containerd": [
        "connected": .bool(runtime.connected), "address": .string(runtime.containerd.address),
        "version": runtime.version.map { .string($0.version) } ?? .null,
        "failure": .string(runtime.lastFailure),
      ],
    ]
  }
}

extension JSONValue {
  static func int(_ value: Int) -> JSONValue { .int(Int64(value)) }
}

extension Cancel: HandledCommand {
  var route: Route { .outOfBand }
  var takesKey: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let ticket = context.connection.ticket(target, besides: context.ticket)
    return ["cancelled": .bool(ticket?.stop(.cancelled) ?? false)]
  }
}
