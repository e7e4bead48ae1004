internal import CLinux

/// Times of one thing, and how they are told.
struct Samples {
  private var nanoseconds: [UInt64] = []

  mutating func measure(_ body: () async throws -> Void) async rethrows {
    let start = clinux_monotonic_ns()
    try await body()
    nanoseconds.append(clinux_monotonic_ns() - start)
  }

  mutating func measure(_ body: () throws -> Void) rethrows {
    let start = clinux_monotonic_ns()
    try body()
    nanoseconds.append(clinux_monotonic_ns() - start)
  }

  mutating func add(_ time: UInt64?) {
    if let time { nanoseconds.append(time) }
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
}

/// What worker and peers took for the same thing, in turns.
struct Comparison {
  private var worker = Samples()
  private var bare = Samples()
  private var go = Samples()
  private var docker = Samples()

  typealias Turn = () async throws -> Void
  typealias PeersTurn = () throws -> UInt64?

  /// Each has a turn, in an order that changes: what one leaves to be done behind its answer would otherwise always
  /// meet the same one.
  mutating func round(
    worker ours: Turn, bare theirs: Turn? = nil, go: PeersTurn, docker: PeersTurn
  ) async throws {
    for turn in (0..<4).shuffled() {
      switch turn {
      case 0: try await worker.measure(ours)
      case 1: if let theirs { try await bare.measure(theirs) }
      case 2: self.go.add(try go())
      default: self.docker.add(try docker())
      }
    }
  }

  /// Milliseconds; a ratio is the worker's time by the peer's, so less is better.
  func rowOfTimes(_ what: String) -> String {
    row(what + ", ms", { $0 })
  }

  /// Megabytes a second of so many bytes; a ratio is the worker's rate by the peer's, so more is better.
  func rowOfRates(_ what: String, bytes: Int) -> String {
    row(what + ", MB/s", { Double(bytes) / 1e3 / $0 })
  }

  private func row(_ what: String, _ figure: (Double) -> Double) -> String {
    let ours = figure(worker.median)
    var cells = [what, text(ours), text(figure(worker.p99))]
    for peer in [bare, go, docker] {
      let theirs = figure(peer.median)
      cells += [text(theirs), text(ours / theirs)]
    }
    return tableRow(cells)
  }

  static let head =
    tableRow(["what", "worker", "p99", "bare", "ratio", "Go client", "ratio", "dockerd", "ratio"]) + "\n"
    + tableRow(Array(repeating: "---", count: 9))
}

/// A row with a figure of the worker's alone.
func single(_ what: String, _ values: Double...) -> String {
  tableRow([what] + values.map(text) + Array(repeating: "–", count: 8 - values.count))
}

func tableRow(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }

/// A number with three digits that matter, as tables want it.
func text(_ value: Double) -> String {
  if value.isNaN { return "–" }
  let digits = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : abs(value) >= 1 ? 2 : 3
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let rounded = (value * scale).rounded() / scale
  return digits == 0 ? "\(Int(rounded))" : "\(rounded)"
}
