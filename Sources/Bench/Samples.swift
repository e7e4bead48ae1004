internal import CLinux

/// Times of one thing, and how they are told.
struct Samples {
  private var nanoseconds: [UInt64] = []

  mutating func measure(_ body: () async throws -> Void) async rethrows {
    let start = clinux_monotonic_ns()
    try await body()
    nanoseconds.append(clinux_monotonic_ns() - start)
  }

  /// In milliseconds.
  func percentile(_ fraction: Double) -> Double {
    let sorted = nanoseconds.sorted()
    guard !sorted.isEmpty else { return .nan }
    let index = min(sorted.count - 1, Int(Double(sorted.count) * fraction))
    return Double(sorted[index]) / 1e6
  }

  var median: Double { percentile(0.5) }
  var p99: Double { percentile(0.99) }
  var count: Int { nanoseconds.count }
}

/// A number with three digits that matter, as tables want it.
func text(_ value: Double) -> String {
  let digits = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : abs(value) >= 1 ? 2 : 3
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let rounded = (value * scale).rounded() / scale
  return digits == 0 ? "\(Int(rounded))" : "\(rounded)"
}
