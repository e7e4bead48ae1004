internal import CSQLite

/// Bounds of what the journal keeps of events.
package struct JournalLimits: Sendable, Equatable {
  /// Bytes of their lines.
  package var bytes: Int
  /// Nanoseconds.
  package var age: Int64

  package init(bytes: Int, age: Duration) {
    self.bytes = bytes
    self.age = age.components.seconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue
  }
}

/// The journal's tables in a database, with statements for all that is done to them.
final class Store {
  struct Foreign: Error {}

  let epoch: String
  private(set) var last: UInt64
  private(set) var first: UInt64
  private var bytes: Int
  private var oldest: Int64
  /// When the last event was, at the opening; 0 where there is none.
  let lastTime: Int64
  private let limits: JournalLimits
  private let database: Database
  private let statements: Statements

  /// "cwj1": tells our files from others' (PRAGMA application_id).
  private static let application = 0x6377_6A31
  /// 2 has the column "own".
  private static let version = 2

  /// Opens or makes the file.
  ///
  /// - Parameters:
  ///   - epoch: the one that it gets when it is new.
  ///   - last: the number of the last event before it, then.
  init(_ path: String, limits: JournalLimits, newEpoch epoch: String, after last: UInt64) throws {
    let database = try Database(path)
    // One worker has it, for as long as it lives; without locks to share no -shm file is needed.
    try database.execute("PRAGMA locking_mode = EXCLUSIVE")
    let application = try database.number("PRAGMA application_id")
    let tables = try database.number("SELECT count(*) FROM sqlite_schema")
    guard tables == 0 && application == 0 || Int(application) == Store.application else { throw Foreign() }
    // Written by a later version, which may mean something else by it.
    let version = Int(try database.number("PRAGMA user_version"))
    guard version <= Store.version else { throw Foreign() }
    try database.execute("PRAGMA journal_mode = WAL")
    // What is committed outlives the worker, as it is with the kernel; it need not outlive the machine, whose
    // containers do not.
    try database.execute("PRAGMA synchronous = NORMAL")
    if tables == 0 { try Store.create(database, epoch, last) }
    try database.check()
    if tables != 0, version < Store.version { try Store.update(database) }
    if try database.number("SELECT count(*) FROM meta WHERE name IN ('epoch', 'last')") != 2 {
      throw DatabaseError(code: SQLITE_CORRUPT, message: "it has no epoch")
    }
    let statements = try Statements(database)
    self.epoch = try statements.readEpoch()
    self.last = UInt64(
      try database.number(
        "SELECT max(ifnull((SELECT max(seq) FROM events), 0), value) FROM meta WHERE name = 'last'"))
    bytes = Int(try database.number("SELECT sum(length(line)) FROM events"))
    oldest = try database.number("SELECT min(time) FROM events")
    lastTime = try database.number("SELECT max(time) FROM events")
    first = 0
    self.limits = limits
    self.database = database
    self.statements = statements
    try look()
  }

  private static func create(_ database: Database, _ epoch: String, _ last: UInt64) throws {
    try database.execute(
      """
      BEGIN;
      PRAGMA application_id = \(application);
      PRAGMA user_version = \(version);
      CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
      CREATE TABLE events (seq INTEGER PRIMARY KEY, time INTEGER, name TEXT, container TEXT, line BLOB);
      CREATE TABLE keys (key TEXT PRIMARY KEY, fingerprint BLOB, time INTEGER, kind INTEGER,
        reply BLOB) WITHOUT ROWID;
      CREATE TABLE processes (container TEXT, exec TEXT, pid INTEGER, phase INTEGER, stdin TEXT, stdout TEXT,
        stderr TEXT, terminal INTEGER, backlog INTEGER, overflow TEXT, key TEXT, orphan INTEGER,
        code INTEGER, seconds INTEGER, nanoseconds INTEGER, oom INTEGER, source TEXT, own INTEGER,
        PRIMARY KEY (container, exec)) WITHOUT ROWID;
      INSERT INTO meta VALUES ('epoch', '\(epoch)'), ('last', \(last));
      COMMIT;
      """)
  }

  private static func update(_ database: Database) throws {
    try database.execute(
      """
      BEGIN;
      ALTER TABLE processes ADD COLUMN own INTEGER DEFAULT 1;
      PRAGMA user_version = \(version);
      COMMIT;
      """)
  }

  // MARK: - Writing

  /// Writes all of it or nothing.
  func write(_ changes: [Change], now: Int64) throws(DatabaseError) {
    try database.execute("BEGIN")
    do throws(DatabaseError) {
      for change in changes { try apply(change) }
      try trim(now)
      try database.execute("COMMIT")
    } catch {
      try? database.execute("ROLLBACK")
      throw error
    }
  }

  private func apply(_ change: Change) throws(DatabaseError) {
    switch change {
    case .event(let event):
      try statements.insert(event)
      if bytes == 0 { oldest = event.time }
      bytes += event.line.count
      last = event.sequence
      if first > last { first = last }
    case .key(let key): try statements.insert(key)
    case .forgetKey(let key): try statements.forgetKey.run(.text(key))
    case .process(let record): try statements.insert(record)
    case .forgetProcess(let container, let exec):
      try statements.forgetProcess.run(.text(container), .text(exec))
    case .acknowledge(let sequence): try drop(through: sequence)
    }
  }

  /// Keeps within the limits; a tenth at a time, so that it is seldom.
  private func trim(_ now: Int64) throws(DatabaseError) {
    if bytes > limits.bytes {
      var (excess, through) = (bytes - limits.bytes / 10 * 9, UInt64(0))
      try statements.sizes.run { row in
        if excess <= 0 { return }
        excess -= Int(row.int(1))
        through = UInt64(row.int(0))
      }
      try drop(through: through)
    }
    if bytes > 0, now - oldest > limits.age {
      var through: Int64 = 0
      try statements.olderThan.run(.int(now - limits.age)) { through = $0.int(0) }
      try drop(through: UInt64(max(0, through)))
    }
  }

  private func drop(through sequence: UInt64) throws(DatabaseError) {
    if sequence < first || bytes == 0 { return }
    try statements.setLast.run(.int(Int64(last)))
    try statements.drop.run(.int(Int64(min(sequence, last))))
    try look()
  }

  /// What is left of the events.
  private func look() throws(DatabaseError) {
    let row = try statements.summary()
    first = row.first == 0 ? last + 1 : UInt64(row.first)
    (bytes, oldest) = (Int(row.bytes), row.oldest)
  }

  // MARK: - Reading

  func events(after sequence: UInt64, limit: Int) throws(DatabaseError) -> [StoredEvent] {
    try statements.events(after: sequence, limit: limit)
  }

  func told(_ name: String, since time: Int64) throws(DatabaseError) -> Told {
    Told(
      last: try statements.told(name, since: time), isComplete: first <= 1 || bytes > 0 && oldest < time)
  }

  func keys() throws(DatabaseError) -> [StoredKey] { try statements.keys() }

  func processes() throws(DatabaseError) -> [ProcessRecord] { try statements.processes() }
}
