internal import FIFOIO
internal import Journal
internal import Protocol
internal import Runtime

/// One command from its line to its reply.
@Loop
final class Ticket {
  enum State {
    case queued, running, replied
  }

  let request: Request
  let line: Int
  let command: any HandledCommand
  let connection: Connection
  private let received = Time.monotonicMicroseconds
  private var startedAt: UInt64?
  private(set) var state = State.queued
  /// Why the command was stopped, where it was.
  private(set) var stopReason: ErrorCode?
  private var task: Task<Void, Never>?
  private var timers: [Poller.TimerID] = []
  private var graceTimer: Poller.TimerID?
  private var isClearing = false
  private var afterReply: [@Loop () -> Void] = []
  /// Descriptors that go with the result.
  var descriptors: [SharedDescriptor] = []
  /// Where its outcome is remembered, if it has a key.
  var keys: IdempotencyKeys?
  /// It waits for the reply of another one of its key.
  var hasJoined = false

  /// Gives its place in the queue up, while it has one.
  var leaveQueue: (@Loop () -> Void)?
  /// How far the journal must be written before its result, besides what is remembered of its key.
  var resultFollows: UInt64 = 0

  /// How long a stopped command may take to say what became of it.
  static let grace = Duration.seconds(2)

  /// How long one may take whose process has ended, and that deletes the container.
  static let graceOfClearing = Duration.seconds(10)

  init(_ request: Request, line: Int, command: any HandledCommand, connection: Connection) {
    self.request = request
    self.line = line
    self.command = command
    self.connection = connection
    if let milliseconds = request.deadlineMilliseconds {
      let timer = Poller.shared.schedule(after: .milliseconds(milliseconds)) { [weak self] in
        _ = self?.stop(.deadlineExceeded)
      }
      timers.append(timer)
    }
  }

  /// Runs the handler; calls back when it is over, which may be after the reply.
  func run(
    _ body: @escaping @Loop () async throws(ProtocolError) -> JSONValue, finished: @escaping @Loop () -> Void
  ) {
    guard state == .queued else { return finished() }
    leaveQueue = nil
    state = .running
    startedAt = Time.monotonicMicroseconds
    task = Task { @Loop in
      do throws(ProtocolError) {
        let result = try await body()
        reply(result)
      } catch {
        fail(error)
      }
      finished()
    }
  }

  /// Cancels the command; false when it is over already.
  func stop(_ reason: ErrorCode) -> Bool {
    switch state {
    case .replied: return false
    case .queued:
      if hasJoined { connection.server.keys.leave(self) }
      finish(ProtocolError(reason, Ticket.message(reason), effect: hasJoined ? .unknown : Effect.none))
    case .running:
      if stopReason != nil { return true }
      stopReason = reason
      task?.cancel()
      leave(isClearing ? Ticket.graceOfClearing : Ticket.grace)
    }
    return true
  }

  /// It has done the half of it: what is left takes containerd its time on a busy machine.
  func clears() {
    isClearing = true
    if state == .running { leave(Ticket.graceOfClearing) }
  }

  /// Has it say within this time what became of it, where it is stopped.
  private func leave(_ grace: Duration) {
    guard let reason = stopReason else { return }
    if let graceTimer { Poller.shared.cancel(graceTimer) }
    graceTimer = Poller.shared.schedule(after: grace) { [weak self] in
      self?.finish(ProtocolError(reason, Ticket.message(reason), effect: .unknown))
    }
  }

  /// Runs when the reply is in the connection's buffer, or there is nobody to reply to.
  func afterReplying(_ action: @escaping @Loop () -> Void) {
    if state == .replied { action() } else { afterReply.append(action) }
  }

  private func reply(_ result: JSONValue) {
    // Also where its deadline has been answered for it.
    if let key = request.key { keys?.succeeded(key, result) }
    guard state != .replied else { return settle() }
    connection.send(descriptors, onceWritten: max(position, resultFollows)) {
      ServerLine.result(result, stamp, into: &$0)
    }
    descriptors = []
    settle()
  }

  /// What is remembered of a key is written before it is told.
  private var position: UInt64 { keys == nil ? 0 : connection.server.journal.appended }

  /// Gives it the reply of another command of its key.
  func answer(_ reply: StoredKey.Reply) {
    if state != .replied {
      connection.send(onceWritten: connection.server.journal.appended) {
        switch reply {
        case .result(let json): ServerLine.result(json.value, stamp, into: &$0)
        case .error(let json): ServerLine.error(json.value, stamp, into: &$0)
        }
      }
    }
    settle()
  }

  /// Ends it before it has run.
  func refuse(_ error: ProtocolError) {
    finish(error)
  }

  private func fail(_ error: ProtocolError) {
    var error = error
    if error.code == .cancelled || error.code == .deadlineExceeded {
      if let stopReason {
        error.code = stopReason
        error.message = Ticket.message(stopReason)
      }
      error.effect = error.effect ?? (command.changes ? .unknown : Effect.none)
    }
    if error.code == .unavailable, command.changes { error.effect = error.effect ?? .unknown }
    finish(error)
  }

  private func finish(_ error: ProtocolError) {
    if let key = request.key { keys?.failed(key, error) }
    if state != .replied {
      connection.send(onceWritten: position) { ServerLine.error(error, stamp, into: &$0) }
    }
    settle()
  }

  private func settle() {
    let first = state != .replied
    state = .replied
    for timer in timers { Poller.shared.cancel(timer) }
    if let graceTimer { Poller.shared.cancel(graceTimer) }
    (timers, graceTimer) = ([], nil)
    leaveQueue?()
    leaveQueue = nil
    if first { connection.replied(self) }
    let actions = afterReply
    afterReply = []
    for action in actions { action() }
  }

  private var stamp: ServerLine.Reply {
    let now = Time.monotonicMicroseconds
    return ServerLine.Reply(
      id: request.id, line: line, queuedMicroseconds: (startedAt ?? now) - received,
      totalMicroseconds: now - received)
  }

  private static func message(_ reason: ErrorCode) -> String {
    switch reason {
    case .deadlineExceeded: "the deadline has passed"
    case .shuttingDown: "the worker stops"
    default: "cancelled"
    }
  }
}

extension [UInt8] {
  /// JSON that was encoded here.
  var value: JSONValue {
    withUnsafeBytes { (try? JSONParser.parse($0)) ?? .null }
  }
}
