/// The journal's statements, prepared once, and their rows as records.
final class Statements {
  let forgetKey: Statement
  let forgetProcess: Statement
  let sizes: Statement
  let olderThan: Statement
  let drop: Statement
  let setLast: Statement
  private let selectSummary: Statement
  private let selectEpoch: Statement
  private let insertEvent: Statement
  private let insertKey: Statement
  private let insertProcess: Statement
  private let selectEvents: Statement
  private let selectLast: Statement
  private let selectKeys: Statement
  private let selectProcesses: Statement

  init(_ database: Database) throws(DatabaseError) {
    forgetKey = try database.prepare("DELETE FROM keys WHERE key = ?")
    forgetProcess = try database.prepare("DELETE FROM processes WHERE container = ? AND exec = ?")
    sizes = try database.prepare("SELECT seq, length(line) FROM events ORDER BY seq")
    olderThan = try database.prepare("SELECT max(seq) FROM events WHERE time < ?")
    drop = try database.prepare("DELETE FROM events WHERE seq <= ?")
    setLast = try database.prepare("UPDATE meta SET value = ? WHERE name = 'last'")
    selectSummary = try database.prepare("SELECT min(seq), sum(length(line)), min(time) FROM events")
    selectEpoch = try database.prepare("SELECT value FROM meta WHERE name = 'epoch'")
    insertEvent = try database.prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?)")
    insertKey = try database.prepare("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)")
    insertProcess = try database.prepare(
      "INSERT OR REPLACE INTO processes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
    selectEvents = try database.prepare("SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
    selectLast = try database.prepare(
      "SELECT container, max(time) FROM events WHERE name = ? AND time >= ? GROUP BY container")
    selectKeys = try database.prepare("SELECT * FROM keys")
    selectProcesses = try database.prepare("SELECT * FROM processes")
  }

  func readEpoch() throws(DatabaseError) -> String {
    var epoch = ""
    try selectEpoch.run { epoch = $0.text(0) }
    return epoch
  }

  func summary() throws(DatabaseError) -> (first: Int64, bytes: Int64, oldest: Int64) {
    var found: (Int64, Int64, Int64) = (0, 0, 0)
    try selectSummary.run { found = ($0.int(0), $0.int(1), $0.int(2)) }
    return found
  }

  // MARK: - Events

  func insert(_ event: StoredEvent) throws(DatabaseError) {
    try insertEvent.run(
      .int(Int64(event.sequence)), .int(event.time), .text(event.name),
      event.container.map(SQLValue.text) ?? .null, .bytes(event.line))
  }

  func events(after sequence: UInt64, limit: Int) throws(DatabaseError) -> [StoredEvent] {
    var events: [StoredEvent] = []
    try selectEvents.run(.int(Int64(sequence)), .int(Int64(limit))) { row in
      let container = row.text(3)
      events.append(
        StoredEvent(
          sequence: UInt64(row.int(0)), time: row.int(1), name: row.text(2),
          container: container.isEmpty ? nil : container, line: row.bytes(4)))
    }
    return events
  }

  /// When the last one was, by container.
  func told(_ name: String, since time: Int64) throws(DatabaseError) -> [String: Int64] {
    var last: [String: Int64] = [:]
    try selectLast.run(.text(name), .int(time)) { last[$0.text(0)] = $0.int(1) }
    return last
  }

  // MARK: - Keys

  func insert(_ key: StoredKey) throws(DatabaseError) {
    let (kind, reply): (Int64, SQLValue) =
      switch (key.reply, key.trace) {
      case (.result(let bytes), _): (1, .bytes(bytes))
      case (.error(let bytes), _): (2, .bytes(bytes))
      case (nil, .mayHaveRun): (3, .null)
      case (nil, .started(let bytes)): (4, .bytes(bytes))
      case (nil, nil): (0, .null)
      }
    try insertKey.run(
      .text(key.key), .bytes(key.fingerprint), .int(key.time), .int(kind), reply)
  }

  func keys() throws(DatabaseError) -> [StoredKey] {
    var keys: [StoredKey] = []
    try selectKeys.run { row in
      var key = StoredKey(
        key: row.text(0), fingerprint: row.bytes(1), time: row.int(2))
      switch row.int(3) {
      case 1: key.reply = .result(row.bytes(4))
      case 2: key.reply = .error(row.bytes(4))
      case 3: key.trace = .mayHaveRun
      case 4: key.trace = .started(row.bytes(4))
      default: break
      }
      keys.append(key)
    }
    return keys
  }

  // MARK: - Processes

  func insert(_ record: ProcessRecord) throws(DatabaseError) {
    let exit = record.exit
    try insertProcess.run(
      .text(record.container), .text(record.exec), .int(Int64(record.pid)), .int(Int64(record.phase)),
      .text(record.stdin), .text(record.stdout), .text(record.stderr), .int(record.terminal ? 1 : 0),
      .int(Int64(record.backlog)), .text(record.overflow), .text(record.key),
      .int(Int64(record.orphan.rawValue)), .int(exit?.code ?? -1), .int(exit?.seconds ?? 0),
      .int(Int64(exit?.nanoseconds ?? 0)), .int(exit?.outOfMemory == true ? 1 : 0), .text(exit?.source ?? ""),
      .int(record.isOwn ? 1 : 0))
  }

  func processes() throws(DatabaseError) -> [ProcessRecord] {
    var records: [ProcessRecord] = []
    try selectProcesses.run { records.append(Statements.record($0)) }
    return records
  }

  private static func record(_ row: Statement.Row) -> ProcessRecord {
    var record = ProcessRecord(container: row.text(0), exec: row.text(1))
    record.pid = UInt32(truncatingIfNeeded: row.int(2))
    record.phase = Int(row.int(3))
    (record.stdin, record.stdout, record.stderr) = (row.text(4), row.text(5), row.text(6))
    record.terminal = row.int(7) != 0
    (record.backlog, record.overflow) = (Int(row.int(8)), row.text(9))
    record.key = row.text(10)
    record.orphan = ProcessRecord.Orphan(rawValue: Int(row.int(11))) ?? .stays
    record.isOwn = row.int(17) != 0
    let source = row.text(16)
    if !source.isEmpty {
      record.exit = ProcessRecord.Exit(
        code: row.int(12), seconds: row.int(13), nanoseconds: Int32(truncatingIfNeeded: row.int(14)),
        outOfMemory: row.int(15) != 0, source: source)
    }
    return record
  }
}
