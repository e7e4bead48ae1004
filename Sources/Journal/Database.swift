internal import CSQLite

/// Why SQLite would not do something.
package struct DatabaseError: Error, Sendable, CustomStringConvertible {
  package let code: Int32
  package let message: String
  package var description: String { "\(message) (SQLite \(code))" }

  /// The file is no database, or one that is damaged; SQLITE_ERROR is a table that is missing, as our SQL has no other error.
  var isCorruption: Bool {
    [SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_FORMAT, SQLITE_ERROR].contains(code & 0xFF)
  }

  var isLackOfRoom: Bool { code & 0xFF == SQLITE_FULL }
}

/// A database of SQLite's, used by one thread at a time. Closed when it is let go of.
final class Database {
  private let handle: OpaquePointer

  init(_ path: String) throws(DatabaseError) {
    var opened: OpaquePointer?
    // Whoever holds it serialises its use.
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW
    let code = sqlite3_open_v2(path, &opened, flags, nil)
    guard code == SQLITE_OK, let opened else {
      let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "no memory"
      sqlite3_close_v2(opened)
      throw DatabaseError(code: code, message: "\(path): \(message)")
    }
    handle = opened
  }

  deinit {
    // Statements that are still there end with it.
    sqlite3_close_v2(handle)
  }

  /// Runs SQL that takes no values.
  func execute(_ sql: String) throws(DatabaseError) {
    if sqlite3_exec(handle, sql, nil, nil, nil) != SQLITE_OK { throw error }
  }

  func prepare(_ sql: String) throws(DatabaseError) -> Statement {
    var statement: OpaquePointer?
    guard
      sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK,
      let statement
    else { throw error }
    return Statement(statement)
  }

  /// The first column of the first row, 0 where it is null or there is none.
  func number(_ sql: String) throws(DatabaseError) -> Int64 {
    var number: Int64 = 0
    try prepare(sql).run { number = $0.int(0) }
    return number
  }

  /// Looks through the whole file.
  func check() throws(DatabaseError) {
    var verdict = ""
    try prepare("PRAGMA quick_check(1)").run { verdict = $0.text(0) }
    if verdict != "ok" { throw DatabaseError(code: SQLITE_CORRUPT, message: verdict) }
  }

  private var error: DatabaseError {
    DatabaseError(code: sqlite3_extended_errcode(handle), message: String(cString: sqlite3_errmsg(handle)))
  }
}

/// A value of a column.
enum SQLValue {
  case int(Int64)
  case text(String)
  case bytes([UInt8])
  case null
}

/// A statement, to be run any number of times.
final class Statement {
  private let handle: OpaquePointer

  fileprivate init(_ handle: OpaquePointer) {
    self.handle = handle
  }

  deinit {
    sqlite3_finalize(handle)
  }

  /// Runs it to its end; each row is shown to the closure.
  func run(_ values: SQLValue..., row: (Row) -> Void = { _ in }) throws(DatabaseError) {
    defer {
      sqlite3_reset(handle)
      sqlite3_clear_bindings(handle)
    }
    for (index, value) in values.enumerated() { bind(value, at: Int32(index + 1)) }
    while true {
      switch sqlite3_step(handle) {
      case SQLITE_ROW: row(Row(handle))
      case SQLITE_DONE: return
      default:
        let database = sqlite3_db_handle(handle)
        throw DatabaseError(
          code: sqlite3_extended_errcode(database), message: String(cString: sqlite3_errmsg(database)))
      }
    }
  }

  /// "SQLite makes a copy", a cast that Swift does not import.
  private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

  private func bind(_ value: SQLValue, at index: Int32) {
    switch value {
    case .int(let number): sqlite3_bind_int64(handle, index, number)
    case .text(let text): sqlite3_bind_text(handle, index, text, -1, Statement.transient)
    case .bytes(let bytes):
      sqlite3_bind_blob64(handle, index, bytes, UInt64(bytes.count), Statement.transient)
    case .null: sqlite3_bind_null(handle, index)
    }
  }

  /// One row, valid while it is shown.
  struct Row {
    private let handle: OpaquePointer

    fileprivate init(_ handle: OpaquePointer) {
      self.handle = handle
    }

    func int(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    func text(_ column: Int32) -> String {
      sqlite3_column_text(handle, column).map { String(cString: $0) } ?? ""
    }

    func bytes(_ column: Int32) -> [UInt8] {
      guard let start = sqlite3_column_blob(handle, column) else { return [] }
      return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, column))))
    }
  }
}
