internal import FIFOIO
internal import Protocol

/// Where a command runs.
enum Route: Hashable {
  /// At once, before anything that waits, and beyond the limit of commands in flight.
  case outOfBand
  /// Beside all others.
  case free
  /// After the commands for the same container that came before.
  case container(String)
  /// After the commands for the stdin of the same process that came before, and after what holds its stdio.
  case stdin(String, ProcessName)
  /// The same of its outputs. Whoever waits for room in stdin may wait for somebody to read these.
  case output(String, ProcessName)
}

/// The commands of all connections: one lane per container, two per process for stdio, and what runs beside.
@Loop
final class CommandQueue {
  private struct Key: Hashable {
    let container: String
    let process: ProcessName
  }

  private var lanes: [Route: Lane] = [:]
  private var gates: [Key: [Gate]] = [:]

  /// Commands queued or running in lanes.
  var length: Int { lanes.values.reduce(0) { $0 + $1.length } }
  /// Whether a command changes a container, or waits for that.
  var isAtContainers: Bool {
    lanes.contains { route, lane in
      guard case .container = route else { return false }
      return lane.length > 0
    }
  }
  var laneCount: Int { lanes.count }

  func admit(
    _ ticket: Ticket, _ body: @escaping @Loop (CommandContext) async throws(ProtocolError) -> JSONValue
  ) {
    let route = ticket.command.route
    switch route {
    case .outOfBand, .free:
      let context = CommandContext(ticket: ticket, lane: nil, gate: nil)
      ticket.run({ () async throws(ProtocolError) in try await body(context) }, finished: {})
    case .container:
      let (lane, gate) = (lane(route), openGate(for: ticket))
      let context = CommandContext(ticket: ticket, lane: lane, gate: gate?.gate)
      enter(lane, gate, ticket) { () async throws(ProtocolError) in try await body(context) }
    case .stdin(let container, let process), .output(let container, let process):
      let before = gates[Key(container: container, process: process)] ?? []
      let context = CommandContext(ticket: ticket, lane: nil, gate: nil)
      enter(lane(route), openGate(for: ticket), ticket) { () async throws(ProtocolError) in
        for gate in before { await gate.pass() }
        return try await body(context)
      }
    }
  }

  /// Runs a command when it is its turn; one that is stopped before leaves nothing behind, however long it would have had
  /// to wait.
  private func enter(
    _ lane: Lane, _ gate: (key: Key, gate: Gate)?, _ ticket: Ticket,
    _ body: @escaping @Loop () async throws(ProtocolError) -> JSONValue
  ) {
    let place = lane.enter {
      ticket.run(body) {
        lane.leave()
        if let gate { self.close(gate.key, gate.gate) }
      }
    }
    guard let place else { return }
    ticket.leaveQueue = {
      lane.withdraw(place)
      if let gate { self.close(gate.key, gate.gate) }
    }
  }

  private func lane(_ route: Route) -> Lane {
    if let lane = lanes[route] { return lane }
    let lane = Lane { [weak self] in self?.lanes[route] = nil }
    lanes[route] = lane
    return lane
  }

  /// Lets the stdio commands that come after a command pass when that is over.
  private func openGate(for ticket: Ticket) -> (key: Key, gate: Gate)? {
    guard let held = ticket.command.holdsStdio else { return nil }
    let key = Key(container: held.container, process: held.process)
    let gate = Gate()
    gates[key, default: []].append(gate)
    return (key, gate)
  }

  private func close(_ key: Key, _ gate: Gate) {
    gate.open()
    gates[key]?.removeAll { $0 === gate }
    if gates[key]?.isEmpty == true { gates[key] = nil }
  }
}

/// What a handler has of its command's place in the queue.
@Loop
struct CommandContext {
  let ticket: Ticket
  private let lane: Lane?
  private let gate: Gate?

  init(ticket: Ticket, lane: Lane?, gate: Gate?) {
    self.ticket = ticket
    self.lane = lane
    self.gate = gate
  }

  var connection: Connection { ticket.connection }
  var server: Server { ticket.connection.server }

  /// Lets others into the lane while the body runs, and stdio commands pass.
  func outsideLane<Value: Sendable>(_ body: @Loop () async -> Value) async -> Value {
    gate?.open()
    lane?.stepOut()
    let value = await body()
    await lane?.comeBack()
    return value
  }
}
