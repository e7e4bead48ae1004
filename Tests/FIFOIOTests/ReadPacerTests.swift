import FIFOIO
import Testing

/// When a stream is watched and when it is visited.
struct ReadPacerTests {
  private let microsecond: UInt64 = 1000

  /// Reads a piece every so often, until the pacer says something else than "when ready".
  private func flooded(_ pacer: inout ReadPacer, from start: UInt64) -> UInt64 {
    var now = start
    for _ in 0..<100 where !pacer.isVisiting {
      now += 50 * microsecond
      _ = pacer.next(after: 4096, now: now)
    }
    return now
  }

  @Test func aStreamThatSaysLittleIsReadAtOnce() {
    var pacer = ReadPacer()
    for second in 1...100 as ClosedRange<UInt64> {
      #expect(pacer.next(after: 100, now: second * 1_000_000 * microsecond) == .whenReady)
    }
  }

  @Test func aShortBurstIsReadAtOnceToo() {
    var pacer = ReadPacer()
    for piece in 1...5 as ClosedRange<UInt64> {
      #expect(
        pacer.next(after: 4096, now: 1_000_000 * microsecond + piece * 10 * microsecond) == .whenReady)
    }
  }

  @Test func aFloodIsVisitedUntilItEnds() {
    var pacer = ReadPacer()
    let now = flooded(&pacer, from: 1_000_000 * microsecond)
    #expect(pacer.isVisiting)
    #expect(pacer.next(after: 30_000, now: now + 100 * microsecond) != .whenReady)
    #expect(pacer.next(after: 0, now: now + 200 * microsecond) == .whenReady)
    #expect(!pacer.isVisiting)
  }

  @Test func visitsBecomeRarerWhereLittleIsFoundAndMoreFrequentWhereMuchIs() throws {
    var pacer = ReadPacer()
    var now = flooded(&pacer, from: 1_000_000 * microsecond)
    func pause(_ count: Int) throws -> UInt64 {
      now += 2000 * microsecond
      guard case .after(let pause) = pacer.next(after: count, now: now) else {
        throw Unexpected()
      }
      return pause
    }
    let first = try pause(20_000)
    #expect(try pause(2000) == 2 * first)
    for _ in 0..<20 { _ = try pause(2000) }
    // However little comes, nobody waits longer than two milliseconds for it.
    let longest = try pause(2000)
    #expect(longest <= 2000 * microsecond)
    #expect(try pause(49_152) == longest / 2)
    for _ in 0..<20 { _ = try pause(49_152) }
    #expect(try pause(49_152) == first)
  }

  private struct Unexpected: Error {}
}
