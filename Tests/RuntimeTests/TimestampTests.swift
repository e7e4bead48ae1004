import Testing

@testable import Runtime

/// Times as containerd tells them, which may be any.
struct TimestampTests {
  @Test func anyTimeHasANumberOfNanoseconds() {
    #expect(Timestamp(seconds: 3, nanoseconds: 5).total == 3_000_000_005)
    #expect(Timestamp(seconds: -1, nanoseconds: 5).total == -999_999_995)
    // Go's zero time, the year 9999, and what no clock says.
    for seconds in [-62_135_596_800, 253_402_300_799, .min, .max] as [Int64] {
      let total = Timestamp(seconds: seconds, nanoseconds: 999_999_999).total
      #expect((total < 0) == (seconds < 0) && abs(total) > 4_000_000_000_000_000_000)
    }
  }
}
