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

  /// Just as seldom as it takes to find the FIFO full, whether one stream floods a machine or fifty share it.
  @Test(arguments: [20, 200, 1000] as [UInt64])
  func visitsFindAFullFIFO(interval: UInt64) {
    var (pacer, now) = flooded(every: interval * microsecond)
    var pauses: [UInt64] = []
    var pause: UInt64 = 500 * microsecond
    for _ in 0..<100 {
      now += pause
      // As much as has come meanwhile and as a FIFO holds.
      let count = Int(min(65536, pause * 4096 / (interval * microsecond)))
      guard case .after(let next) = pacer.next(after: count, now: now) else { break }
      pause = next
      pauses.append(pause)
    }
    let fills = 16 * interval * microsecond
    #expect(pauses.count == 100)
    #expect(pauses.suffix(50).allSatisfy { $0 >= fills * 3 / 4 && $0 <= fills * 2 })
  }

  /// Answers of many pieces, each waited for: what was taken for a flood is found out within a millisecond.
  @Test func aLongAnswerIsHeldUpShortly() {
    let (pacer, now) = flooded(every: 20 * microsecond)
    #expect(pacer.isVisiting)
    var again = ReadPacer()
    var first = ReadPacer.Next.whenReady
    var time = start
    while first == .whenReady {
      time += 1000 * microsecond
      first = again.next(after: 4096, now: time)
    }
    guard case .after(let pause) = first else { return }
    #expect(pause <= 1000 * microsecond)
    var quiet = pacer
    #expect(quiet.next(after: 0, now: now + pause) == .whenReady)
  }
}
