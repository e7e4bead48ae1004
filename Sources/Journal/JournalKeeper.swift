internal import CLinux

/// Keeps the journal's file on its thread, and gets a new one where it cannot be written any more, or could not be made at the
/// start: nothing that the worker does waits for a disk.
final class JournalKeeper {
  private let file: JournalFile
  private let answer: (JournalThread.Answer) -> Void
  private var store: Store?
  private(set) var last: UInt64 = 0
  private var first: UInt64 = 0
  /// When to try again to have a file.
  private var nextAttempt: Int64 = 0

  private static let pause: Int64 = 2_000_000_000

  init(_ file: JournalFile, answer: @escaping (JournalThread.Answer) -> Void) {
    self.file = file
    self.answer = answer
  }

  func open() throws -> JournalFile.Contents {
    let (store, contents) = try file.open()
    self.store = store
    if store == nil { nextAttempt = JournalFile.now + JournalKeeper.pause }
    (first, last) = (contents.first, contents.last)
    return contents
  }

  /// Leaves one whole file.
  func close() {
    store = nil
  }

  func write(_ changes: [Change]) {
    let now = JournalFile.now
    if store == nil, now >= nextAttempt { renew() }
    for case .event(let event) in changes { last = event.sequence }
    do {
      try store?.write(changes, now: now)
    } catch {
      fail("\(error)")
    }
    guard let first = store?.first, first != self.first else { return }
    self.first = first
    answer(.first(first))
  }

  func events(after sequence: UInt64, limit: Int) -> [StoredEvent] {
    do {
      return try store?.events(after: sequence, limit: limit) ?? []
    } catch {
      fail("\(error)")
      return []
    }
  }

  func told(_ name: String, since time: Int64) -> Told {
    do {
      return try store?.told(name, since: time) ?? Told()
    } catch {
      fail("\(error)")
      return Told()
    }
  }

  /// What is in the file may not be continued, as it will miss what has been told since.
  private func fail(_ reason: String) {
    store = nil
    nextAttempt = JournalFile.now + JournalKeeper.pause
    let name = file.setAside()
    answer(.failed("\(reason); the file is now \(name)", epoch: JournalFile.newEpoch()))
  }

  private func renew() {
    do {
      store = try file.make(after: last)
      if let epoch = store?.epoch { answer(.renewed(epoch: epoch)) }
    } catch {
      nextAttempt = JournalFile.now + JournalKeeper.pause
    }
  }
}
