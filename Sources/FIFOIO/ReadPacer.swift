/// When to read a stream next. Pure.
///
/// The shim passes output on in pieces of 4 KiB (containerd, pkg/process/io.go), and each one that wakes a reader costs
/// two changes of context. So a stream with much to say is not watched but visited, just as seldom as it takes to find its
/// FIFO full: then its shim waits for room instead of for each piece, and moves a whole FIFO's worth when it is woken,
/// which is what its Go runtime is slow at. Any other stream, however often it says something, is read as soon as it has.
package struct ReadPacer: Sendable, Equatable {
  package enum Next: Sendable, Equatable {
    /// When the poller says that there is something.
    case whenReady
    /// After this many nanoseconds, without asking the poller.
    case after(UInt64)
  }

  /// While it is watched: since when, and how much has come since.
  private var since: UInt64 = 0
  private var bytes = 0
  /// While it is visited: how long it is left alone.
  private var pause: UInt64?

  /// So much in whole pieces within such a time is a flood: 1 MiB a second. Less than a piece is the end of something
  /// that was said, which somebody may wait for in order to answer.
  private static let window: UInt64 = 16_000_000
  private static let flood = 16 << 10
  private static let piece = 4 << 10
  /// What is not worth another visit, and what a full FIFO has, whose last page may be in part.
  private static let little = 2 << 10
  private static let full = 62 << 10
  /// More than it can have: a pause grows until the FIFO fills, and then shrinks a little.
  private static let target = 120 << 10
  private static let shortest: UInt64 = 100_000
  private static let longest: UInt64 = 40_000_000
  /// After this long, finding nothing is no chance; so long at most is the first pause, in case it was no flood after all.
  private static let telling: UInt64 = 1_000_000

  package init() {}

  /// True while the stream is visited.
  package var isVisiting: Bool { pause != nil }

  /// - Parameters:
  ///   - count: the bytes that were there; 0 for none.
  ///   - now: on a clock that never steps, in nanoseconds.
  package mutating func next(after count: Int, now: UInt64) -> Next {
    if let last = pause {
      // A short pause may find nothing by chance.
      guard count >= ReadPacer.little || count > 0 && last < ReadPacer.telling else {
        self = ReadPacer()
        return .whenReady
      }
      if count >= ReadPacer.full { return visit(after: last / 8 * 7, between: 0, and: last) }
      return visit(after: last * UInt64(ReadPacer.target) / UInt64(count), between: last / 2, and: last * 2)
    }
    if now - since > ReadPacer.window { (since, bytes) = (now, 0) }
    if count >= ReadPacer.piece { bytes += count }
    guard bytes >= ReadPacer.flood else { return .whenReady }
    let wanted = (now - since) * UInt64(ReadPacer.target) / UInt64(bytes)
    return visit(after: wanted, between: ReadPacer.shortest, and: ReadPacer.telling)
  }

  private mutating func visit(after wanted: UInt64, between least: UInt64, and most: UInt64) -> Next {
    let next = max(ReadPacer.shortest, min(ReadPacer.longest, max(least, min(most, wanted))))
    pause = next
    return .after(next)
  }
}
