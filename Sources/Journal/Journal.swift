package import FIFOIO
package import Logging

/// What the worker must know after its end: events, idempotency keys, and what containerd cannot tell of processes.
///
/// Everything that is appended in one round of the loop is written together or not at all. The order of what is appended
/// is the order in which it is written; `written` tells how far that has come.
@Loop
package final class Journal {
  /// Events are numbered without a gap as long as this is the same.
  package private(set) var epoch: String
  /// The last event.
  package private(set) var last: UInt64
  /// The oldest event that can be had again; `last` + 1 where there is none.
  package private(set) var first: UInt64
  /// Changes appended so far, and how many of them are written.
  package private(set) var appended: UInt64 = 0
  package private(set) var written: UInt64 = 0
  /// How many of them there were with the last event.
  package private(set) var appendedWithLast: UInt64 = 0
  /// The last event that is written.
  package private(set) var lastWritten: UInt64
  /// Why nothing is kept; nil while it is.
  package private(set) var failure: String?
  /// When the last event of an earlier worker was, in nanoseconds since 1970; 0 where there is none.
  package let lastTimeBefore: Int64
  /// What was in the file at the start; to be taken once.
  package var keys: [StoredKey]
  package var processes: [ProcessRecord]
  /// More is written.
  package var onWritten: @Loop () -> Void = {}
  /// There is a new file, which must be told of all processes again.
  package var onRenewal: @Loop () -> Void = {}
  private let thread: JournalThread
  private let log: Logger
  private var batch: [Change] = []
  private var waiting: [(for: UInt64, action: @Loop () -> Void)] = []

  /// Opens the journal in a directory, or makes it.
  package static func open(
    in directory: String, limits: JournalLimits, log: Logger
  ) async throws -> Journal {
    let box = JournalBox()
    let thread = JournalThread { Task { @Loop in box.journal?.takeAnswers() } }
    let file = JournalFile(path: directory + "/journal.db", limits: limits)
    let contents = try await withUnsafeThrowingContinuation {
      (continuation: UnsafeContinuation<JournalFile.Contents, any Error>) in
      thread.start(file) { continuation.resume(with: $0) }
    }
    if let complaint = contents.complaint {
      log.error("the journal is begun anew", metadata: ["reason": "\(complaint)"])
    }
    let journal = Journal(contents, thread, log)
    box.journal = journal
    return journal
  }

  private init(_ contents: JournalFile.Contents, _ thread: JournalThread, _ log: Logger) {
    (epoch, first, last) = (contents.epoch, contents.first, contents.last)
    lastWritten = contents.last
    (keys, processes) = (contents.keys, contents.processes)
    lastTimeBefore = contents.lastTime
    self.thread = thread
    self.log = log
    if let failure = contents.failure { failed(failure) }
  }

  // MARK: - Writing

  /// The number of the next event, whose line may hold it.
  package func nextSequence() -> UInt64 {
    last += 1
    return last
  }

  package func append(_ change: Change) {
    if batch.isEmpty { Poller.shared.atEndOfRound { [weak self] in self?.hand() } }
    batch.append(change)
    appended += 1
    if case .event = change { appendedWithLast = appended }
  }

  private func hand() {
    thread.write(batch)
    batch = []
  }

  /// Has everything that is appended so far written, without waiting for the round's end, and returns then.
  package func flush() async {
    if !batch.isEmpty { hand() }
    await untilWritten()
  }

  /// Does something when everything that is appended so far is written.
  package func whenWritten(_ action: @escaping @Loop () -> Void) {
    waiting.append((appended, action))
    runWaiting()
  }

  /// Returns when everything that is appended so far is written.
  package func untilWritten() async {
    if written == appended { return }
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      whenWritten { continuation.resume() }
    }
  }

  private func runWaiting() {
    let due = waiting.prefix { $0.for <= written }
    waiting.removeFirst(due.count)
    for item in due { item.action() }
  }

  /// Events after a number, the oldest first; those that are appended when it is asked for are among them.
  package func events(after sequence: UInt64, limit: Int) async -> [StoredEvent] {
    if !batch.isEmpty { hand() }
    return await withUnsafeContinuation { (continuation: UnsafeContinuation<[StoredEvent], Never>) in
      thread.ask(.events(after: sequence, limit: limit) { continuation.resume(returning: $0) })
    }
  }

  /// Of which containers there are events of a name since a time. One question for all: each reads the whole journal.
  package func told(_ name: String, since time: Int64) async -> Told {
    if !batch.isEmpty { hand() }
    return await withUnsafeContinuation { (continuation: UnsafeContinuation<Told, Never>) in
      thread.ask(.told(name, since: time) { continuation.resume(returning: $0) })
    }
  }

  /// Ends the thread, once everything is written.
  package func close() async {
    await flush()
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      thread.stop { continuation.resume() }
    }
  }

  // MARK: - What the thread tells

  /// Tasks that another thread starts need not begin in its order, so that what they bring is fetched.
  private func takeAnswers() {
    for answer in thread.takeAnswers() { take(answer) }
  }

  private func take(_ answer: JournalThread.Answer) {
    switch answer {
    case .done(let count, let last):
      written += UInt64(count)
      lastWritten = last
      onWritten()
      runWaiting()
    case .first(let first): self.first = first
    case .failed(let reason, let epoch):
      (self.epoch, first) = (epoch, last + 1)
      failed(reason)
    case .renewed(let epoch):
      failure = nil
      self.epoch = epoch
      log.notice("there is a new journal", metadata: ["epoch": "\(epoch)"])
      onRenewal()
    }
  }

  private func failed(_ reason: String) {
    failure = reason
    log.critical(
      "the journal cannot be written; nothing is kept until it can", metadata: ["reason": "\(reason)"])
  }
}

/// Lets the thread's answers find a journal that is made after the thread.
@Loop
private final class JournalBox {
  weak var journal: Journal?
  nonisolated init() {}
}
