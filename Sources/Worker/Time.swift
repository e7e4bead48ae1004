internal import CLinux
internal import Glibc
internal import Runtime

/// Times as the wire has them: RFC 3339 in UTC with nanoseconds.
enum Time {
  static var now: String { format(nanoseconds: nanoseconds) }

  /// Since 1970.
  static var nanoseconds: Int64 { Int64(clinux_realtime_ns()) }

  static func format(nanoseconds: Int64) -> String {
    format(Timestamp(seconds: nanoseconds / 1_000_000_000, nanoseconds: Int32(nanoseconds % 1_000_000_000)))
  }

  static func format(_ timestamp: Timestamp) -> String {
    var seconds = time_t(timestamp.seconds)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return pad(Int(parts.tm_year) + 1900, 4) + "-" + pad(Int(parts.tm_mon) + 1, 2) + "-"
      + pad(Int(parts.tm_mday), 2)
      + "T" + pad(Int(parts.tm_hour), 2) + ":" + pad(Int(parts.tm_min), 2) + ":" + pad(Int(parts.tm_sec), 2)
      + "." + pad(Int(timestamp.nanoseconds), 9) + "Z"
  }

  /// Microseconds on a clock that never steps.
  static var monotonicMicroseconds: UInt64 { clinux_monotonic_ns() / 1000 }

  private static func pad(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
