internal import FIFOIO
internal import Journal
internal import Logging
internal import Protocol
internal import Runtime

extension Run: HandledCommand {
  // Without an id there is nobody to wait for.
  var route: Route { container.map(Route.container) ?? .free }
  var starts: (container: String, process: ProcessName)? { container.map { ($0, .initial) } }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let id = container ?? Run.makeID()
    let server = context.server
    let created = try await description.create(id, context, endsWithConnection: onDisconnect == .kill)
    let outcome: Outcome
    do throws(ProtocolError) {
      outcome = try await runTask(id, context)
    } catch {
      await cleanUp(created, server)
      throw error
    }
    await cleanUp(created, server)
    if outcome.cancelled { throw ProtocolError(.cancelled, "cancelled", container: id, effect: .done) }
    return .object(outcome.members)
  }

  private struct Outcome: Sendable {
    var members: [String: JSONValue]
    var cancelled: Bool
  }

  /// Runs the process to its end, or until the command is cancelled.
  @Loop
  private func runTask(_ id: String, _ context: CommandContext) async throws(ProtocolError) -> Outcome {
    let connection = context.connection
    let process = try await translating(container: id) { () async throws(RuntimeError) in
      try await context.server.runtime.start(
        id, stdio.options(context, orphan: onDisconnect == .kill ? .goes : .stays)
      ) { process in
        _ = try? process.attach(stdio.attach ?? Attachment(), to: connection)
        if onDisconnect == .kill { connection.attachments.own(process) }
      }
    }
    process.announce()
    if onDisconnect == .kill, connection.isGone { context.server.kill(process) }
    await context.outsideLane { await process.waitForClose() }
    connection.attachments.disown(process)
    var members = process.life.exit?.json ?? [:]
    members["container"] = .string(id)
    for summary in process.outputs {
      members[summary.stream.rawValue] = ["bytes": .int(Int64(summary.bytes)), "end": .string(summary.end)]
    }
    return Outcome(members: members, cancelled: Task.isCancelled && process.isRunning)
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
