/// Cuts a client's bytes into lines. Memory is bounded by the limit: what goes beyond is skipped up to the next LF,
/// which is the only place where reading resumes.
package struct LineFramer: ~Copyable {
  package enum Line {
    /// A whole line without its end, a CR before it and a leading 0x1E.
    case line(UnsafeRawBufferPointer, number: Int)
    /// Told once, as soon as the limit is passed.
    case tooLong(number: Int)
  }

  private let limit: Int
  private var partial: [UInt8] = []
  private var skipping = false
  /// The number of the line under way, from 1. Blank lines count.
  private var number = 1

  package init(limit: Int = Limits.line) {
    self.limit = limit
  }

  /// Hands over every line that the bytes complete; blank ones are only counted. The buffers are valid during the
  /// call.
  package mutating func feed(_ bytes: UnsafeRawBufferPointer, _ handle: (Line) -> Void) {
    var start = 0
    while true {
      let end = ByteScan.first(bytes, from: start) { ByteScan.equal($0, 0x0A) }
      if end == bytes.count { break }
      finish(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), handle)
      number += 1
      start = end + 1
    }
    keep(UnsafeRawBufferPointer(rebasing: bytes[start...]), handle)
  }

  /// At end of file: the number of a last line without LF, which is not to be executed.
  package mutating func end() -> Int? {
    defer { partial = [] }
    return partial.isEmpty || skipping ? nil : number
  }

  private mutating func finish(_ tail: UnsafeRawBufferPointer, _ handle: (Line) -> Void) {
    defer { skipping = false }
    if skipping { return }
    if partial.isEmpty {
      deliver(tail, handle)
      return
    }
    partial.append(contentsOf: tail)
    partial.withUnsafeBytes { deliver($0, handle) }
    // A long line's memory is given back, a usual one's kept.
    partial.removeAll(keepingCapacity: partial.capacity <= 65536)
  }

  private func deliver(_ bytes: UnsafeRawBufferPointer, _ handle: (Line) -> Void) {
    var line = bytes[...]
    if line.last == 0x0D { line = line.dropLast() }
    if line.first == 0x1E { line = line.dropFirst() }
    if line.count > limit {
      handle(.tooLong(number: number))
    } else if !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
      handle(.line(UnsafeRawBufferPointer(rebasing: line), number: number))
    }
  }

  private mutating func keep(_ tail: UnsafeRawBufferPointer, _ handle: (Line) -> Void) {
    if skipping || tail.isEmpty { return }
    // Two bytes more than the limit: 0x1E and CR do not count.
    if partial.count + tail.count > limit + 2 {
      skipping = true
      partial = []
      handle(.tooLong(number: number))
    } else {
      partial.append(contentsOf: tail)
    }
  }
}
