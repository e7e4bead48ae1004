internal import FIFOIO
internal import Protocol
internal import Runtime

extension TaskStart: HandledCommand {
  var route: Route { .container(container) }
  var handsOver: Bool { stdio.attach.map { $0.mode != .json } ?? false }
  var holdsStdio: (container: String, process: ProcessName)? { (container, .initial) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try context.connection.checkTakes(stdio.attach)
    let process = try await translating(container: container) { () async throws(RuntimeError) in
      try await context.server.runtime.start(container, stdio.options(context, checkpoint: checkpoint)) {
        stdio.attach($0, to: context.connection)
      }
    }
    return try await stdio.result(of: process, context)
  }
}

extension TaskDelete: HandledCommand {
  var route: Route { .container(container) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let exit = try await translating(container: container) { () async throws(RuntimeError) in
      try await context.server.runtime.deleteTask(container, force: force)
    }
    return .object(exit.json)
  }
}

extension TaskPause: HandledCommand {
  var route: Route { .container(container) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try await translating(container: container) { () async throws(RuntimeError) in
      try await context.server.runtime.pause(container)
    }
    return [:]
  }
}

extension TaskResume: HandledCommand {
  var route: Route { .container(container) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try await translating(container: container) { () async throws(RuntimeError) in
      try await context.server.runtime.resume(container)
    }
    return [:]
  }
}

extension TaskUpdate: HandledCommand {
  var route: Route { .container(container) }
  var isRepeatable: Bool { true }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try await translating(container: container) { () async throws(RuntimeError) in
      try await context.server.runtime.update(container, resources: JSONValue.object(resources).encoded)
    }
    return [:]
  }
}

extension TaskStats: HandledCommand {
  // Of many containers, so in nobody's lane.
  var route: Route { .free }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let stats = try await translating { () async throws(RuntimeError) in
      try await context.server.runtime.stats(containers)
    }
    let failures = stats.failures.map { id, error in
      (id, ProtocolError(error, container: id))
    }
    // Who asks for one gets it or an error.
    if containers.count == 1, let failure = failures.first { throw failure.1 }
    var members: [String: JSONValue] = ["containers": .object(stats.usages.mapValues(\.json))]
    if !failures.isEmpty {
      members["failed"] = .object(
        Dictionary(
          uniqueKeysWithValues: failures.map { id, error in
            (id, ["code": .string(error.code.rawValue), "message": .string(error.message)])
          }))
    }
    return .object(members)
  }
}

extension TaskProcesses: HandledCommand {
  var route: Route { .container(container) }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let runtime = context.server.runtime
    let (listed, task) = try await translating(container: container) { () async throws(RuntimeError) in
      (try await runtime.processes(of: container), try await runtime.load(container).task?.pid)
    }
    return [
      "processes": .array(
        listed.map { process in
          let name = process.pid == task ? "init" : process.exec
          return ["pid": .int(Int64(process.pid)), "process": name.map(JSONValue.string) ?? .null]
        })
    ]
  }
}

extension TaskCheckpoint: HandledCommand {
  var route: Route { .container(container) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try await translating(container: container) { () async throws(RuntimeError) in
      try await context.server.runtime.checkpoint(container, to: directory, exit: exit)
    }
    return ["container": .string(container), "directory": .string(directory)]
  }
}

extension ResourceUsage {
  var json: JSONValue {
    [
      "time": .string(Time.format(time)),
      "cgroup": .int(cgroup),
      "cpu": [
        "usage_ns": .int(cpu.usage), "user_ns": .int(cpu.user), "system_ns": .int(cpu.system),
        "periods": .int(cpu.periods), "throttled_periods": .int(cpu.throttledPeriods),
        "throttled_ns": .int(cpu.throttled), "cores": cpu.rate.map { .real($0.cores) } ?? .null,
        "interval_ns": .int(cpu.rate?.interval),
      ],
      "memory": [
        "usage_bytes": .int(memory.usage), "limit_bytes": .int(memory.limit),
        "max_usage_bytes": .int(memory.maximum),
        "anon_bytes": .int(memory.anonymous), "file_bytes": .int(memory.file),
        "inactive_file_bytes": .int(memory.inactiveFile), "swap_bytes": .int(memory.swap),
        "swap_limit_bytes": .int(memory.swapLimit), "page_faults": .int(memory.pageFaults),
        "major_page_faults": .int(memory.majorPageFaults), "oom_kills": .int(memory.outOfMemoryKills),
      ],
      "pids": ["current": .int(processes), "limit": .int(processLimit)],
      "io": .array(devices.map(\.json)),
    ]
  }
}

extension ResourceUsage.Device {
  fileprivate var json: JSONValue {
    [
      "device": .string("\(major):\(minor)"), "read_bytes": .int(readBytes),
      "written_bytes": .int(writtenBytes),
      "reads": .int(reads), "writes": .int(writes),
    ]
  }
}

extension JSONValue {
  /// Counts of the kernel never reach what int64 cannot hold, but for bugs.
  fileprivate static func int(_ value: UInt64) -> JSONValue { .int(Int64(clamping: value)) }

  fileprivate static func int(_ value: UInt64?) -> JSONValue { value.map { .int($0) } ?? .null }
}
