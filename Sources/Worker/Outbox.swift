internal import DequeModule
internal import FIFOIO
internal import Protocol

/// What goes to one client, in its order: replies and lifecycle events first, stdio behind them.
///
/// Stdio is not queued here: a stream that has something waits for its turn with a place in a queue, and its lines are
/// made when they can be written. So what comes later overtakes all of it, no stream waits for another one's backlog, and
/// a client that does not read costs no memory.
@Loop
final class Outbox {
  /// Being written, from `sent` on.
  private var out: [UInt8] = []
  private var sent = 0
  private var urgent = Segment()
  /// Lines that must not go before the journal has them, and those behind them, by how far it must be.
  private var held = Deque<(position: UInt64, segment: Segment)>()
  private var leaving = Deque<Attached>()
  /// Streams with little to say go before those with much: a line of output does not wait for 50 floods.
  private var light = Deque<StreamSink>()
  private var heavy = Deque<StreamSink>()

  /// Descriptors that go with a byte.
  private struct Attached {
    let index: Int
    let descriptors: [SharedDescriptor]
  }

  private struct Segment {
    var bytes: [UInt8] = []
    var attached: [Attached] = []

    mutating func append(_ descriptors: [SharedDescriptor], _ write: (inout [UInt8]) -> Void) {
      if !descriptors.isEmpty { attached.append(Attached(index: bytes.count, descriptors: descriptors)) }
      write(&bytes)
    }

    mutating func append(_ other: Segment) {
      attached += other.attached.map { Attached(index: bytes.count + $0.index, descriptors: $0.descriptors) }
      bytes += other.bytes
    }
  }

  /// So much stdio is made into lines at a time.
  private static let batch = 65536
  private static let little = 4096

  var isEmpty: Bool {
    !isCongested && urgent.bytes.isEmpty && held.isEmpty && light.isEmpty && heavy.isEmpty
  }
  /// The client has not taken what was written to it.
  var isCongested: Bool { sent < out.count }
  /// Bytes of replies and events that wait, with what is being written.
  var waiting: Int { out.count - sent + urgent.bytes.count + heldBytes }
  private var heldBytes = 0

  /// - Parameters:
  ///   - descriptors: go with the first byte.
  ///   - position: how far the journal must be written before this may go; behind what waits for it everything waits.
  func append(
    _ descriptors: [SharedDescriptor] = [], onceWritten position: UInt64 = 0, _ write: (inout [UInt8]) -> Void
  ) {
    let last = held.last?.position ?? 0
    let position = max(position, last)
    if position == 0 { return urgent.append(descriptors, write) }
    if position > last { held.append((position, Segment())) }
    let before = held[held.count - 1].segment.bytes.count
    held[held.count - 1].segment.append(descriptors, write)
    heldBytes += held[held.count - 1].segment.bytes.count - before
  }

  /// The journal is written so far.
  ///
  /// - Returns: whether something waited for that.
  func release(upTo position: UInt64) -> Bool {
    let before = held.count
    while let first = held.first, first.position <= position {
      held.removeFirst()
      heldBytes -= first.segment.bytes.count
      urgent.append(first.segment)
    }
    return held.count < before
  }

  /// A stream has something to say, or has no more.
  func enqueue(_ sink: StreamSink) {
    if sink.isQueued { return }
    sink.isQueued = true
    if sink.waiting <= Outbox.little { light.append(sink) } else { heavy.append(sink) }
  }

  /// What to write next, and the descriptors that go with its first byte; nil when there is nothing. What of it was
  /// written is to be told to `wrote`.
  func next() -> (bytes: ArraySlice<UInt8>, descriptors: [SharedDescriptor])? {
    if sent == out.count, !refill() { return nil }
    guard let first = leaving.first else { return (out[sent...], []) }
    // Up to the next byte that brings some.
    if first.index > sent { return (out[sent..<first.index], []) }
    let end = leaving.count > 1 ? leaving[1].index : out.count
    return (out[sent..<end], first.descriptors)
  }

  func wrote(_ count: Int) {
    if let first = leaving.first, first.index == sent, count > 0 { leaving.removeFirst() }
    sent += count
  }

  /// Forgets everything that is not being written.
  func clear() {
    urgent = Segment()
    held = []
    heldBytes = 0
    light = []
    heavy = []
  }

  private func refill() -> Bool {
    // Taken out while streams write to it: an end that they tell may append to `urgent`.
    var bytes = out
    out = []
    bytes.removeAll(keepingCapacity: bytes.capacity <= 4 * Outbox.batch)
    sent = 0
    if !urgent.bytes.isEmpty {
      swap(&bytes, &urgent.bytes)
      leaving = Deque(urgent.attached)
      urgent.attached = []
    } else if held.isEmpty {
      while bytes.count < Outbox.batch, let sink = light.popFirst() ?? heavy.popFirst() {
        sink.isQueued = false
        if sink.pull(into: &bytes) { enqueue(sink) }
      }
    }
    out = bytes
    return !out.isEmpty
  }
}
