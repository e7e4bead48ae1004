/// When to read a stream next. Pure.
///
/// The shim passes output on in pieces of 4 KiB (containerd, pkg/process/io.go), and each one that wakes a reader costs
/// two changes of context. So a stream with much to say is not watched but visited, as often as it takes to find a good
/// part of a FIFO's worth there; any other, however often it says something, is read as soon as it has.
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

  /// So much within such a time is a flood: 4 MiB a second.
  private static let window: UInt64 = 4_000_000
  private static let flood = 16 << 10
  /// What a visit should find, and what is not worth another one.
  private static let target = 24 << 10
  private static let little = 2 << 10
  private static let shortest: UInt64 = 100_000
  private static let longest: UInt64 = 4_000_000

  package init() {}

  /// True while the stream is visited.
  package var isVisiting: Bool { pause != nil }

  /// - Parameters:
  ///   - count: the bytes that were there; 0 for none.
  ///   - now: on a clock that never steps, in nanoseconds.
  package mutating func next(after count: Int, now: UInt64) -> Next {
    if let last = pause {
      // A short pause may find nothing by chance.
      guard count >= ReadPacer.little || count > 0 && last < ReadPacer.longest / 4 else {
        self = ReadPacer()
        return .whenReady
      }
      return visit(after: last * UInt64(ReadPacer.target) / UInt64(count), between: last / 2, and: last * 2)
    }
    if now - since > ReadPacer.window { (since, bytes) = (now, 0) }
    bytes += count
    guard bytes >= ReadPacer.flood else { return .whenReady }
    let wanted = (now - since) * UInt64(ReadPacer.target) / UInt64(bytes)
    return visit(after: wanted, between: ReadPacer.shortest, and: ReadPacer.longest)
  }

  private mutating func visit(after wanted: UInt64, between least: UInt64, and most: UInt64) -> Next {
    let next = max(ReadPacer.shortest, min(ReadPacer.longest, max(least, min(most, wanted))))
    pause = next
    return .after(next)
  }
}
