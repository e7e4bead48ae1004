internal import FIFOIO
internal import Journal
internal import Logging
internal import Protocol
internal import Runtime

extension Run: HandledCommand {
  // Without an id there is nobody to wait for.
  var route: Route { container.map(Route.container) ?? .free }
  var holdsStdio: (container: String, process: ProcessName)? { container.map { ($0, .initial) } }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let id = container ?? Run.makeID()
    let created = try await description.create(id, context, endsWith: onDisconnect)
    let process: ContainerProcess
    do throws(ProtocolError) {
      process = try await start(id, context)
    } catch {
      await cleanUp(created, context.server)
      throw error
    }
    return try await follow(process, in: created, context)
  }

  @Loop
  private func start(
    _ id: String, _ context: CommandContext
  ) async throws(ProtocolError) -> ContainerProcess {
    let connection = context.connection
    let process = try await translating(container: id) { () async throws(RuntimeError) in
      try await context.server.runtime.start(
        id, stdio.options(context, orphan: onDisconnect == .kill ? .goes : .stays)
      ) { process in
        attach(process, to: connection)
        if onDisconnect == .kill { connection.attachments.own(process) }
      }
    }
    process.announce()
    // Of which nothing else may be left when it comes again.
    context.server.startIsSettled(process, .started)
    if onDisconnect == .kill, connection.isGone { context.server.kill(process) }
    return process
  }

  @Loop
  func attach(_ process: ContainerProcess, to connection: Connection) {
    // Where another client has its streams the run goes on all the same, to its result.
    _ = try? process.attach(stdio.attach ?? Attachment(), to: connection)
  }

  /// Waits for the process's end, or until the command is cancelled, which ends it.
  @Loop
  func follow(
    _ process: ContainerProcess, in container: Container, _ context: CommandContext
  ) async throws(ProtocolError) -> JSONValue {
    await context.outsideLane { await process.waitForClose() }
    let isCancelled = Task.isCancelled && process.isRunning
    if isCancelled, onDisconnect == .keep, context.ticket.stopReason == .shuttingDown {
      // The next worker sees to its end.
      throw ProtocolError(
        .shuttingDown, "the worker stops, and the container runs on", container: container.id,
        effect: .unknown)
    }
    context.connection.attachments.disown(process)
    var members = process.life.exit?.json ?? [:]
    members["container"] = .string(container.id)
    for summary in process.outputs {
      members[summary.stream.rawValue] = ["bytes": .int(Int64(summary.bytes)), "end": .string(summary.end)]
    }
    // The cancellation does not reach it.
    Task { @Loop in
      await process.waitForClose()
      context.ticket.clears()
    }
    await cleanUp(container, context.server)
    if isCancelled { throw ProtocolError(.cancelled, "cancelled", container: container.id, effect: .done) }
    return .object(members)
  }

  /// The container goes, whatever happened; in a task of its own, which a cancellation does not reach.
  @Loop
  private func cleanUp(_ container: Container, _ server: Server) async {
    await server.cleanUp { await server.runtime.remove(container) }
  }

  private static func makeID() -> String {
    let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    return "run-" + String((0..<12).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
  }
}
