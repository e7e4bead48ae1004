import FIFOIO
import Foundation
import Glibc
@testable import Journal
import Logging
import Testing
import TestSupport

/// What is written, what is kept, and what becomes of it when the disk has no more room.
@Suite(.serialized)
struct JournalTests {
  private func open(
    _ directory: String, bytes: Int = 1 << 20, age: Duration = .seconds(1000)
  ) async throws -> Journal {
    EventLoop.start()
    var log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    log.logLevel = .critical
    return try await Journal.open(in: directory, limits: JournalLimits(bytes: bytes, age: age), log: log)
  }

  private func contents(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  @Loop
  private func append(_ count: Int, of size: Int = 100, age: Int64 = 0, to journal: Journal) {
    for _ in 0..<count {
      let sequence = journal.nextSequence()
      let line = Array("\(sequence) ".utf8) + [UInt8](repeating: 0x78, count: size)
      let time = Int64(Date().timeIntervalSince1970 * 1e9) - age
      journal.append(
        .event(StoredEvent(sequence: sequence, time: time, name: "test", container: nil, line: line)))
    }
  }

  /// As versions before that of other clients' processes have left one.
  @Test func anOlderFileIsGoneOnWith() async throws {
    let directory = try Sandbox.newDirectory("journal")
    var journal = try await open(directory)
    let epoch = await journal.epoch
    await journal.append(.process(ProcessRecord(container: "c1", exec: "")))
    await journal.close()
    let script = """
      import sqlite3, sys
      journal = sqlite3.connect(sys.argv[1])
      with journal:
        journal.execute("ALTER TABLE processes DROP COLUMN own")
        journal.execute("PRAGMA user_version = 1")
      """
    let changed = try await ChildProcess.run("/usr/bin/python3", ["-c", script, "\(directory)/journal.db"])
    #expect(changed.status == .exited(0), "\(changed.output)")
    for _ in 0..<2 {
      journal = try await open(directory)
      #expect(await journal.epoch == epoch)
      #expect(await journal.processes.map(\.isOwn) == [true])
      await journal.close()
    }
  }

  @Test func whatWasToldOfContainersIsKnown() async throws {
    let journal = try await open(try Sandbox.newDirectory("journal"))
    let now = Int64(Date().timeIntervalSince1970 * 1e9)
    let events: [(time: Int64, name: String, container: String)] = [
      (10, "made", "c1"), (20, "made", "c2"), (30, "made", "c1"), (40, "other", "c3"),
    ]
    for (index, event) in events.enumerated() {
      let sequence = UInt64(index + 1)
      await journal.append(
        .event(
          StoredEvent(
            sequence: sequence, time: now + event.time, name: event.name, container: event.container,
            line: [0x78]))
      )
    }
    let told = await journal.told("made", since: now + 20)
    #expect(told.has("c1", since: now + 30) == true)
    #expect(told.has("c1", since: now + 31) == false)
    #expect(told.has("c2", since: now + 20) == true)
    #expect(told.has("c3", since: now + 20) == false)
    await journal.close()
  }

  @Test func whatWaitsForTheFileComesAfterIt() async throws {
    let directory = try Sandbox.newDirectory("journal")
    let journal = try await open(directory)
    let written = await Task { @Loop in
      // In the same round as what follows, before which nothing can be written.
      append(3, to: journal)
      let goal = journal.appended
      var order: [UInt64] = []
      for _ in 0..<2 { journal.whenWritten { order.append(journal.written) } }
      #expect(order == [] && journal.written < goal)
      await journal.untilWritten()
      #expect(order.count == 2 && order.allSatisfy { $0 >= goal })
      // At once where nothing is under way.
      journal.whenWritten { order.append(0) }
      #expect(order.count == 3)
      return journal.written
    }.value
    #expect(written == 3)
    await journal.close()
  }

  @Test func everythingIsThereAgain() async throws {
    let directory = try Sandbox.newDirectory("journal")
    var record = ProcessRecord(container: "c1", exec: "e1")
    (record.pid, record.phase, record.key, record.orphan) = (7, 3, "k", .dies)
    record.exit = ProcessRecord.Exit(code: 9, seconds: 1, nanoseconds: 2, outOfMemory: true, source: "event")
    var key = StoredKey(key: "k", fingerprint: [1, 2], time: 5)
    let epoch: String
    do {
      let journal = try await open(directory)
      epoch = await journal.epoch
      await append(10, to: journal)
      await journal.append(.process(record))
      await journal.append(.process(ProcessRecord(container: "c2", exec: "")))
      await journal.append(.forgetProcess(container: "c2", exec: ""))
      await journal.append(.key(key))
      key.reply = .result([0x7B, 0x7D])
      await journal.append(.key(key))
      await journal.close()
    }
    let journal = try await open(directory)
    #expect(await journal.epoch == epoch)
    #expect(await (journal.first, journal.last) == (1, 10))
    #expect(await journal.processes == [record])
    #expect(await journal.keys == [key])
    #expect(await journal.events(after: 7, limit: 2).map(\.sequence) == [8, 9])
    await journal.close()
  }

  enum Damage: CaseIterable { case empty, emptyWithLog, onlyLog, noLog, noTable, noEpoch, directory }

  /// SQLite would begin some of these anew, over what is there.
  @Test(arguments: Damage.allCases) func whatIsDamagedIsSetAside(damage: Damage) async throws {
    let directory = try Sandbox.newDirectory("journal")
    let path = directory + "/journal.db"
    let first = try await open(directory)
    await append(3, to: first)
    let epoch = await first.epoch
    let log = [.emptyWithLog, .onlyLog].contains(damage) ? try contents(path + "-wal") : Data()
    await first.close()
    if !log.isEmpty { try log.write(to: URL(fileURLWithPath: path + "-wal")) }
    switch damage {
    case .empty, .emptyWithLog: truncate(path, 0)
    case .onlyLog: unlink(path)
    case .noLog: try Data("a letter to a friend".utf8).write(to: URL(fileURLWithPath: path + "-wal"))
    case .noTable: try Database(path).execute("DROP TABLE meta")
    case .noEpoch: try Database(path).execute("DELETE FROM meta")
    case .directory:
      unlink(path)
      mkdir(path, 0o700)
    }
    let journal = try await open(directory)
    #expect(await journal.epoch != epoch)
    let names = try FileManager.default.contentsOfDirectory(atPath: directory)
    let aside = names.filter { $0.contains(".broken-") }
    #expect(aside.count { !$0.hasSuffix("-wal") } == (damage == .onlyLog ? 0 : 1))
    if !log.isEmpty {
      let logs = try aside.filter { $0.hasSuffix("-wal") }.map { try contents("\(directory)/\($0)") }
      #expect(logs == [log])
    }
    await journal.close()
  }

  /// Between two renamings a kill leaves a log alone, which is told, and not a file that looks whole without it.
  @Test func theFileIsSetAsideBeforeItsLog() throws {
    let directory = try Sandbox.newDirectory("journal")
    let path = directory + "/journal.db"
    for name in [path, path + "-wal"] { try Data("x".utf8).write(to: URL(fileURLWithPath: name)) }
    let changes = inotify_init1(Int32(IN_CLOEXEC))
    defer { close(changes) }
    try #require(inotify_add_watch(changes, directory, UInt32(IN_MOVED_FROM)) >= 0)
    _ = JournalFile(path: path, limits: JournalLimits(bytes: 0, age: .zero)).setAside()
    var events = [UInt8](repeating: 0, count: 4096)
    let count = read(changes, &events, events.count)
    // Each has a name behind 16 bytes, with NULs up to a length that is in the last four of them.
    var (names, place) = ([String](), 0)
    while place < count {
      names.append(String(decoding: events[(place + 16)...].prefix { $0 != 0 }, as: UTF8.self))
      place += 16 + Int(events[place + 12])
    }
    #expect(names == ["journal.db", "journal.db-wal"])
  }

  @Test func sizeIsBounded() async throws {
    let directory = try Sandbox.newDirectory("journal")
    let journal = try await open(directory, bytes: 10_000)
    for _ in 0..<50 {
      await append(20, to: journal)
      await journal.flush()
    }
    let events = await journal.events(after: 0, limit: 10_000)
    #expect(events.reduce(0) { $0 + $1.line.count } <= 12_500)
    #expect(events.count > 50)
    #expect(await events.first?.sequence == journal.first)
    #expect(events.last?.sequence == 1000)
    await journal.close()
  }

  @Test func ageIsBounded() async throws {
    let directory = try Sandbox.newDirectory("journal")
    let journal = try await open(directory, age: .seconds(100))
    await append(10, age: 101_000_000_000, to: journal)
    await append(5, to: journal)
    await journal.flush()
    #expect(await journal.events(after: 0, limit: 100).map(\.sequence) == Array(11...15))
    await journal.close()
  }

  /// The numbers go on, also when nothing is left of the events.
  @Test func whatIsAcknowledgedGoes() async throws {
    let directory = try Sandbox.newDirectory("journal")
    let journal = try await open(directory)
    await append(10, to: journal)
    await journal.append(.acknowledge(10))
    await journal.close()
    let again = try await open(directory)
    #expect(await again.nextSequence() == 11)
    await again.close()
  }

  @Test func aDiskThatIsFullAtTheStartLeavesTheJournalForLater() async throws {
    let directory = try Sandbox.newDirectory("journal")
    try #require(mount("tmpfs", directory, "tmpfs", 0, "size=512k") == 0)
    defer { umount2(directory, Int32(MNT_DETACH)) }
    let filler = fill(directory)
    for _ in 0..<2 {
      let journal = try await open(directory)
      #expect(await journal.failure != nil)
      await append(3, to: journal)
      await journal.close()
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["filler"])
    }
    let journal = try await open(directory)
    let first = await journal.epoch
    ftruncate(filler, 0)
    close(filler)
    while await journal.failure != nil {
      await append(1, to: journal)
      await journal.flush()
      try await Task.sleep(for: .milliseconds(100))
    }
    #expect(await journal.epoch != first)
    let last = await journal.last
    #expect(await journal.events(after: last - 1, limit: 10).map(\.sequence) == [last])
    await journal.close()
  }

  /// It can still be read, and is not to be taken for none.
  @Test func whatAFullDiskHoldsIsThereAtTheStart() async throws {
    let directory = try Sandbox.newDirectory("journal")
    try #require(mount("tmpfs", directory, "tmpfs", 0, "size=512k") == 0)
    defer { umount2(directory, Int32(MNT_DETACH)) }
    var journal = try await open(directory)
    let epoch = await journal.epoch
    let record = ProcessRecord(container: "c1", exec: "e1")
    await append(3, to: journal)
    await journal.append(.process(record))
    await journal.close()
    close(fill(directory))
    journal = try await open(directory)
    #expect(await journal.epoch == epoch)
    #expect(await journal.processes == [record])
    #expect(await journal.events(after: 0, limit: 10).map(\.sequence) == [1, 2, 3])
    await journal.close()
  }

  private func fill(_ directory: String) -> Int32 {
    let filler = Glibc.open(directory + "/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    let block = [UInt8](repeating: 1, count: 4096)
    while write(filler, block, block.count) > 0 {}
    return filler
  }

  /// Nothing waits for a disk without room: what is told meanwhile is of another epoch, and so is what comes when there is
  /// room again.
  @Test func aFullDiskCostsTheEpochAndNothingElse() async throws {
    let directory = try Sandbox.newDirectory("journal")
    try #require(mount("tmpfs", directory, "tmpfs", 0, "size=512k") == 0)
    defer { umount2(directory, Int32(MNT_DETACH)) }
    let journal = try await open(directory, bytes: 100 << 20)
    let first = await journal.epoch
    var written = 0
    while await journal.failure == nil, written < 100 {
      await append(10, of: 10_000, to: journal)
      await journal.flush()
      written += 1
    }
    #expect(await journal.failure != nil)
    let second = await journal.epoch
    #expect(first != second)
    #expect(await journal.written == journal.appended)
    for file in try FileManager.default.contentsOfDirectory(atPath: directory) {
      try FileManager.default.removeItem(atPath: directory + "/" + file)
    }
    while await journal.failure != nil {
      await append(1, to: journal)
      await journal.flush()
      try await Task.sleep(for: .milliseconds(100))
    }
    #expect(await journal.epoch != second)
    await append(3, to: journal)
    let last = await journal.last
    #expect(await journal.events(after: last - 3, limit: 10).map(\.sequence) == Array((last - 2)...last))
    await journal.close()
  }
}
