/// When to read a stream next. Pure.
///
/// The shim passes output on in pieces of 4 KiB (containerd, pkg/process/io.go), and each one that wakes a reader costs
/// two changes of context. So a stream that keeps the reader busy is not watched but visited, as often as it takes to
/// find a good part of a FIFO's worth there; any other is read as soon as it has something.
package struct ReadPacer: Sendable, Equatable {
  package enum Next: Sendable, Equatable {
    /// When the poller says that there is something.
    case whenReady
    /// After this many nanoseconds, without asking the poller.
    case after(UInt64)
  }

  /// Reads that came hard upon one another.
  private var streak = 0
  private var last: UInt64 = 0
  private var pause = ReadPacer.shortest

  /// Reads closer than this are a flood once there are so many of them.
  private static let close: UInt64 = 400_000
  private static let patience = 6
  /// With less than this found, visits become rarer; with more than that, more frequent.
  private static let little = 12 << 10
  private static let much = 40 << 10
  private static let shortest: UInt64 = 100_000
  private static let longest: UInt64 = 1_600_000

  package init() {}

  /// True while the stream is visited.
  package var isVisiting: Bool { streak >= ReadPacer.patience }

  /// - Parameters:
  ///   - count: the bytes that were there; 0 for none.
  ///   - now: on a clock that never steps, in nanoseconds.
  package mutating func next(after count: Int, now: UInt64) -> Next {
    defer { last = now }
    if isVisiting {
      if count == 0 {
        streak = 0
        return .whenReady
      }
      if count < ReadPacer.little { pause = min(pause * 2, ReadPacer.longest) }
      if count > ReadPacer.much { pause = max(pause / 2, ReadPacer.shortest) }
      return .after(pause)
    }
    streak = now - last < ReadPacer.close ? streak + 1 : 0
    guard isVisiting else { return .whenReady }
    pause = ReadPacer.shortest
    return .after(pause)
  }
}
