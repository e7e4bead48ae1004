internal import DequeModule
internal import FIFOIO
internal import Journal
internal import Protocol

/// Commands that clients have named, so that each runs once however often it is sent: what comes while it runs waits for
/// the same reply, what comes later gets that, also from the next worker.
@Loop
final class IdempotencyKeys {
  /// What is to be done with a command.
  enum Admission {
    case run
    /// It runs or ran already: its reply comes, or has been given.
    case answered
    /// An earlier one of this key was cut short: find out first.
    case resolve(StoredKey)
    case refused(ProtocolError)
  }

  private enum State {
    case running
    case done(StoredKey.Reply)
    /// It was cut short, and nobody knows where.
    case uncertain
  }

  private struct Entry {
    var stored: StoredKey
    var state: State
    /// Who waits for the reply of the one that runs.
    var joined: [Ticket] = []
    /// When it last came to rest, answered or cut short: it is remembered from there on.
    var rest: Int64 = 0
    /// It has a place in `order`.
    var isOrdered = false
    /// It began as one that was cut short.
    var wasUncertain = false
    /// Is to find out what became of that, where that does not tell before.
    weak var resolver: Ticket?
  }

  private let journal: Journal
  private var entries: [String: Entry] = [:]
  /// Keys to look at once they are old. One that runs for the first time has no place yet; one that has come to rest again
  /// since it got its place gets another one then.
  private var order = Deque<(key: String, time: Int64)>()

  private static let limit = 65_536
  /// How long a key is remembered at least, and at most.
  private static let promised: Int64 = 600_000_000_000
  private static let kept: Int64 = 3_600_000_000_000

  init(_ journal: Journal) {
    self.journal = journal
    let now = Time.nanoseconds
    for stored in journal.keys {
      // What was cut short was so by the end of the last worker, at the latest.
      entries[stored.key] = Entry(
        stored: stored, state: stored.reply.map(State.done) ?? .uncertain,
        rest: stored.reply == nil ? now : stored.time, isOrdered: true)
    }
    order = Deque(entries.map { ($0.key, $0.value.rest) }.sorted { $0.1 < $1.1 })
    journal.keys = []
  }

  var count: Int { entries.count }

  func admit(_ ticket: Ticket, key: String) -> Admission {
    let fingerprint = ticket.request.fingerprint
    guard let entry = entries[key] else { return add(key, fingerprint) }
    if entry.stored.fingerprint != fingerprint {
      return .refused(ProtocolError(.keyConflict, "this key came with another command"))
    }
    switch entry.state {
    case .running:
      entries[key]?.joined.append(ticket)
      ticket.hasJoined = true
      return .answered
    case .done(let reply):
      ticket.answer(reply)
      return .answered
    case .uncertain:
      entries[key]?.state = .running
      entries[key]?.wasUncertain = true
      entries[key]?.resolver = ticket
      return .resolve(entry.stored)
    }
  }

  private func add(_ key: String, _ fingerprint: [UInt8]) -> Admission {
    let now = Time.nanoseconds
    forget(olderThan: IdempotencyKeys.kept, now)
    if entries.count >= IdempotencyKeys.limit { forget(olderThan: IdempotencyKeys.promised, now) }
    if entries.count >= IdempotencyKeys.limit {
      return .refused(ProtocolError(.limitReached, "\(entries.count) keys are remembered"))
    }
    let stored = StoredKey(key: key, fingerprint: fingerprint, time: now)
    entries[key] = Entry(stored: stored, state: .running)
    journal.append(.key(stored))
    return .run
  }

  private func forget(olderThan age: Int64, _ now: Int64) {
    while let oldest = order.first, oldest.time < now - age {
      order.removeFirst()
      guard let entry = entries[oldest.key] else { continue }
      var isOld = entry.rest <= oldest.time
      if case .running = entry.state { isOld = false }
      if isOld { remove(oldest.key) } else { order.append((oldest.key, now)) }
    }
  }

  private func remove(_ key: String) {
    entries[key] = nil
    journal.append(.forgetKey(key))
  }

  /// Who joined was stopped, and waits no more.
  func leave(_ ticket: Ticket) {
    if let key = ticket.request.key { entries[key]?.joined.removeAll { $0 === ticket } }
  }

  /// Tells a new journal of everything.
  func saveAll() {
    for entry in entries.values { journal.append(.key(entry.stored)) }
  }

  // MARK: - Starts that were cut short

  /// Written down together with what it was found by, so that no further kill makes it forgotten.
  func note(_ trace: StoredKey.Trace?, of key: String) {
    guard var entry = entries[key], entry.stored.reply == nil, entry.stored.trace != trace else { return }
    entry.stored.trace = trace
    entries[key] = entry
    journal.append(.key(entry.stored))
  }

  func trace(of key: String) -> StoredKey.Trace? { entries[key]?.stored.trace }

  // MARK: - Outcomes

  func succeeded(_ key: String, _ result: JSONValue) {
    settle(key, .result(result.encoded))
  }

  func failed(_ key: String, _ error: ProtocolError) {
    guard let entry = entries[key] else { return }
    // What its deadline was answered for may have been found out since.
    if case .done = entry.state { return }
    var error = error
    // Not to be sent again, and the worker that stopped is another one by then.
    if error.code == .shuttingDown, error.effect == .done { error.code = .cancelled }
    let reply = StoredKey.Reply.error(error.encoded)
    if error.isWithoutEffect, !entry.wasUncertain {
      // Whoever sends it again means it.
      remove(key)
      for ticket in entry.joined { ticket.answer(reply) }
    } else if error.isWithoutEffect || error.isOpen {
      comeToRest(key, .uncertain, reply)
    } else {
      settle(key, reply)
    }
  }

  private func settle(_ key: String, _ reply: StoredKey.Reply) {
    guard var entry = entries[key] else { return }
    entry.stored.reply = reply
    entry.stored.time = Time.nanoseconds
    let resolver = entry.resolver
    entry.resolver = nil
    entries[key] = entry
    // Before those who wait are told: their replies wait for it.
    journal.append(.key(entry.stored))
    comeToRest(key, .done(reply), reply)
    // It is still behind the one that was cut short, whose end this is.
    if let resolver, resolver.state == .queued { resolver.answer(reply) }
  }

  /// It does not run any more, and who waits for it gets the reply.
  private func comeToRest(_ key: String, _ state: State, _ reply: StoredKey.Reply) {
    guard var entry = entries[key] else { return }
    let joined = entry.joined
    entry.joined = []
    entry.state = state
    entry.rest = Time.nanoseconds
    if !entry.isOrdered { order.append((key, entry.rest)) }
    entry.isOrdered = true
    entries[key] = entry
    for ticket in joined { ticket.answer(reply) }
  }
}

extension ProtocolError {
  /// It was refused or stopped before anything was done.
  fileprivate var isWithoutEffect: Bool {
    effect == Effect.none || effect == nil && [.busy, .shuttingDown, .limitReached].contains(code)
  }

  /// It may have been done.
  fileprivate var isOpen: Bool {
    effect == .unknown
      || effect == nil && [.unavailable, .internalError, .cancelled, .deadlineExceeded].contains(code)
  }
}

extension Request {
  /// Differs for commands that do: two sums of 64 bits (FNV-1a with two bases) over the name and the arguments.
  fileprivate var fingerprint: [UInt8] {
    let bytes = Array(command.utf8) + [0] + JSONValue.object(arguments).encoded
    var (a, b): (UInt64, UInt64) = (0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142)
    for byte in bytes {
      a = (a ^ UInt64(byte)) &* 0x100_0000_01b3
      b = (b ^ UInt64(byte)) &* 0x100_0000_01b3 ^ (b >> 29)
    }
    return withUnsafeBytes(of: (a, b, UInt64(bytes.count))) { Array($0) }
  }
}
