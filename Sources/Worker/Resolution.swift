internal import FIFOIO
internal import Journal
internal import Protocol
internal import Runtime

/// What became of a command that was cut short by its worker's death or by a loss of containerd.
enum Resolution: Sendable {
  case done(JSONValue)
  /// It may run now.
  case notDone
  case unknown
}

extension HandledCommand {
  /// Runs a command of a key of which an earlier one was cut short, if that had no effect.
  @Loop
  func settle(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    switch try await resolve(past, context) {
    case .done(let result): return result
    case .notDone:
      do throws(ProtocolError) {
        return try await run(context)
      } catch {
        // containerd may have come to the end of the earlier one meanwhile.
        guard [.notFound, .alreadyExists].contains(error.code),
          case .done(let result) = try await resolve(past, context)
        else { throw error }
        return result
      }
    case .unknown:
      throw ProtocolError(
        .cancelled, "an earlier worker was cut short in it, and what it did cannot be told", effect: .unknown)
    }
  }
}

// MARK: - What containerd and the journal tell

extension ContainerCreate {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    guard let found = try await lookUp(container, context) else { return .notDone }
    // One of somebody else's is for the command itself to deal with.
    guard found.labels[ContainerRuntime.keyLabel] == past.key else { return .notDone }
    let told = await context.server.journal.told("container.created", since: past.time)
    if told.has(container, since: past.time) == false { context.server.runtime.tellCreated(container) }
    let bundle = found.labels[ContainerRuntime.bundleLabel] ?? ""
    return .done(["container": .string(container), "bundle": .string(bundle)])
  }
}

extension ContainerDelete {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    guard try await lookUp(container, context) == nil else { return .notDone }
    await context.server.runtime.clearAway(container)
    return .done(["container": .string(container)])
  }
}

extension TaskStart {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    try await resolveStart(past, container, .initial, context)
  }
}

extension ProcessExec {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    try await resolveStart(past, container, .exec(process), context)
  }
}

extension Run {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    guard let id = container else { return .unknown }
    await context.server.runtime.untilRemoved(id)
    guard let found = try await lookUp(id, context) else {
      // Whatever ran has been cleared away, as it ends with its connection.
      return context.server.keys.trace(of: past.key) == nil ? .notDone : .unknown
    }
    guard found.labels[ContainerRuntime.keyLabel] == past.key else { return .notDone }
    guard case .done = try await resolveStart(past, id, .initial, context) else {
      // It may be gone by itself.
      _ = try await unlessMissing(id) { () async throws(RuntimeError) in
        try await context.server.runtime.delete(id, force: true)
      }
      return context.server.keys.trace(of: past.key) == nil ? .notDone : .unknown
    }
    guard onDisconnect == .keep, let container = try await find(id, context), let process = container.task
    else {
      return .unknown
    }
    attach(process, to: context.connection)
    return .done(try await follow(process, in: container, context))
  }
}

extension TaskDelete {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    let container = try await find(container, context)
    return container?.task == nil ? .done(unknownExit) : .notDone
  }
}

extension ProcessDelete {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    let container = try await find(container, context)
    return container?.process(process.exec) == nil ? .done(unknownExit) : .notDone
  }
}

extension TaskPause {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    try await find(container, context)?.isPaused == true ? .done([:]) : .notDone
  }
}

extension TaskResume {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    try await find(container, context)?.isPaused == false ? .done([:]) : .notDone
  }
}

extension ProcessKill {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    let process = try await find(container, context)?.process(self.process.exec)
    // A second signal may do what one did not.
    return process?.isRunning == true ? .unknown : .done([:])
  }
}

extension StdioWrite {
  @Loop
  func resolve(_ past: StoredKey, _ context: CommandContext) async throws(ProtocolError) -> Resolution {
    // At its place it is not doubled.
    offset == nil ? .unknown : .notDone
  }
}

// MARK: -

/// An exit that somebody else was told.
private let unknownExit: JSONValue = ["exit_code": .null, "exited_at": .null, "oom": .bool(false)]

@Loop
private func lookUp(_ id: String, _ context: CommandContext) async throws(ProtocolError) -> ContainerSummary?
{
  try await unlessMissing(id) { () async throws(RuntimeError) in try await context.server.runtime.metadata(id)
  }
}

@Loop
private func find(_ id: String, _ context: CommandContext) async throws(ProtocolError) -> Container? {
  try await unlessMissing(id) { () async throws(RuntimeError) in try await context.server.runtime.load(id) }
}

@Loop
private func unlessMissing<Value>(
  _ id: String, _ body: @Loop () async throws(RuntimeError) -> Value
) async throws(ProtocolError) -> Value? {
  do throws(RuntimeError) {
    return try await body()
  } catch {
    if error.kind == .notFound { return nil }
    throw ProtocolError(error, container: id)
  }
}

/// A start is written down before containerd is asked for anything: without a trace there was none.
@Loop
private func resolveStart(
  _ past: StoredKey, _ id: String, _ name: ProcessName, _ context: CommandContext
) async throws(ProtocolError) -> Resolution {
  // Looks for what has not been looked for.
  let container = try await find(id, context)
  if let process = container?.process(name.exec), process.origin.key == past.key,
    process.life.phase >= .started
  {
    return .done(.object(process.started))
  }
  switch context.server.keys.trace(of: past.key) {
  case .started(let result): return .done(result.value)
  case .mayHaveRun: return .unknown
  case nil: return .notDone
  }
}
