internal import CLinux
internal import Glibc

/// Where the journal is, and what becomes of files that are none.
struct JournalFile: Sendable {
  /// What a file held when it was opened.
  struct Contents: Sendable {
    let epoch: String
    let first: UInt64
    let last: UInt64
    let lastTime: Int64
    let keys: [StoredKey]
    let processes: [ProcessRecord]
    /// Why there is a new one, and what the one that was there is called now.
    var complaint: String?
    /// Why there is none for now.
    var failure: String?
  }

  let path: String
  let limits: JournalLimits

  static var now: Int64 { Int64(clinux_realtime_ns()) }

  static func newEpoch() -> String {
    let digits = Array("0123456789abcdef")
    return String((0..<16).map { _ in digits[Int.random(in: 0..<16)] })
  }

  /// Opens the file, or a new one where it is broken or somebody else's: that is set aside, never overwritten. No store is
  /// where there is no room for a new one.
  func open() throws -> (Store?, Contents) {
    do {
      return try read()
    } catch let error as DatabaseError where error.isCorruption {
      return try startAnew("\(error)")
    } catch let error as Damage {
      return try startAnew(error.rawValue)
    } catch is Store.Foreign {
      return try startAnew("it is not a journal of this worker's")
    }
  }

  /// An empty one, whose events go on behind a number. Nothing is left of one that can't be made.
  func make(after last: UInt64) throws -> Store {
    let wasThere = isThere
    do {
      return try Store(path, limits: limits, newEpoch: JournalFile.newEpoch(), after: last)
    } catch {
      if !wasThere { for suffix in JournalFile.suffixes { unlink(path + suffix) } }
      throw error
    }
  }

  private var isThere: Bool {
    var status = stat()
    return lstat(path, &status) == 0 || errno != ENOENT
  }

  private func read() throws -> (Store?, Contents) {
    try checkFiles()
    let store: Store
    do {
      store = try make(after: 0)
    } catch let error as DatabaseError where error.isLackOfRoom && !isThere {
      let epoch = JournalFile.newEpoch()
      return (
        nil,
        Contents(epoch: epoch, first: 1, last: 0, lastTime: 0, keys: [], processes: [], failure: "\(error)")
      )
    }
    let contents = Contents(
      epoch: store.epoch, first: store.first, last: store.last, lastTime: store.lastTime,
      keys: try store.keys(),
      processes: try store.processes())
    return (store, contents)
  }

  private func startAnew(_ reason: String) throws -> (Store?, Contents) {
    let name = setAside()
    var (store, contents) = try read()
    contents.complaint = "\(reason); it is kept as \(name)"
    return (store, contents)
  }

  /// What SQLite would take for an empty database, or for one without the last of what was written to it.
  private enum Damage: String, Error {
    case isEmpty = "there is nothing in it"
    case isGone = "only its log is there"
    case hasNoLog = "what is called its log is none"
  }

  private func checkFiles() throws {
    let (file, log) = (head(path), head(path + "-wal") ?? [])
    if file == nil, !log.isEmpty { throw Damage.isGone }
    if file?.isEmpty == true { throw Damage.isEmpty }
    if let file, file != JournalFile.magic { throw Store.Foreign() }
    if !log.isEmpty, !JournalFile.logMagics.contains(Array(log.prefix(4))) { throw Damage.hasNoLog }
  }

  /// How every database of SQLite's begins, and every log (sqlite.org/fileformat.html).
  private static let magic = Array("SQLite format 3\0".utf8)
  private static let logMagics: [[UInt8]] = [[0x37, 0x7F, 0x06, 0x82], [0x37, 0x7F, 0x06, 0x83]]

  /// Nil where there is no file.
  private func head(_ path: String) -> [UInt8]? {
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    if file < 0 { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: JournalFile.magic.count)
    let count = Glibc.read(file, &bytes, bytes.count)
    return Array(bytes.prefix(max(0, count)))
  }

  /// Of the file itself, and of what SQLite puts beside it.
  private static let suffixes = ["", "-wal", "-shm", "-journal"]

  /// - Returns: what the file is called now.
  func setAside() -> String {
    let aside = "\(path).broken-\(JournalFile.now / 1_000_000)"
    // The file first: without its log it would be taken for a whole one, while a log alone is seen to be one.
    for suffix in JournalFile.suffixes { rename(path + suffix, aside + suffix) }
    return aside
  }
}
