import FIFOIO
import Testing

/// When a stream is watched and when it is visited.
struct ReadPacerTests {
  private let microsecond: UInt64 = 1000
  private let start: UInt64 = 1_000_000_000

  /// Reads a piece every so often, until the stream is visited.
  private func flooded(every interval: UInt64) -> (pacer: ReadPacer, now: UInt64) {
    var (pacer, now) = (ReadPacer(), start)
    for _ in 0..<100 where !pacer.isVisiting {
      now += interval
      _ = pacer.next(after: 4096, now: now)
    }
    return (pacer, now)
  }

  /// A conversation is no flood, however fast it goes.
  @Test(arguments: [50, 300, 1000, 100_000] as [UInt64])
  func aStreamThatSaysLittleIsReadAtOnce(interval: UInt64) {
    var (pacer, now) = (ReadPacer(), start)
    for _ in 0..<1000 {
      now += interval * microsecond
      #expect(pacer.next(after: 100, now: now) == .whenReady)
    }
  }

  @Test func aShortBurstIsReadAtOnceToo() {
    var (pacer, now) = (ReadPacer(), start)
    for _ in 0..<50 {
      for _ in 0..<3 {
        now += 10 * microsecond
        #expect(pacer.next(after: 4096, now: now) == .whenReady)
      }
      now += 20_000 * microsecond
    }
  }

  @Test func aFloodIsVisitedUntilItEnds() {
    var (pacer, now) = flooded(every: 50 * microsecond)
    #expect(pacer.isVisiting)
    for _ in 0..<100 {
      now += 300 * microsecond
      #expect(pacer.next(after: 25_000, now: now) != .whenReady)
    }
    #expect(pacer.next(after: 0, now: now) == .whenReady)
    #expect(!pacer.isVisiting)
  }

  /// Fifty streams that share a machine flood, too, at a lower rate each.
  @Test func visitsAreAsFarApartAsTheStreamIsSlow() throws {
    for (interval, least, most) in [(20, 100, 200), (1000, 3000, 4000)] as [(UInt64, UInt64, UInt64)] {
      var (pacer, now) = flooded(every: interval * microsecond)
      var pause: UInt64 = 0
      for _ in 0..<50 {
        now += pause
        // As much as has come meanwhile.
        let count = Int(max(pause, microsecond) * 4096 / (interval * microsecond))
        guard case .after(let next) = pacer.next(after: max(4096, count), now: now) else { break }
        pause = next
      }
      #expect(pause >= least * microsecond && pause <= most * microsecond, "\(pause)")
    }
  }
}
