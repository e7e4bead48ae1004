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
  private var urgent: [UInt8] = []
  /// Descriptors that go with a byte of `urgent`, and of `out` once that is what it was.
  private var attached: [Attached] = []
  private var leaving = Deque<Attached>()
  /// Streams with little to say go before those with much: a line of output does not wait for 50 floods.
  private var light = Deque<StreamSink>()
  private var heavy = Deque<StreamSink>()

  private struct Attached {
    let index: Int
    let descriptors: [SharedDescriptor]
  }

  /// So much stdio is made into lines at a time.
  private static let batch = 65536
  private static let little = 4096

  var isEmpty: Bool { !isCongested && urgent.isEmpty && light.isEmpty && heavy.isEmpty }
  /// The client has not taken what was written to it.
  var isCongested: Bool { sent < out.count }
  /// Bytes of replies and events that wait, with what is being written.
  var waiting: Int { out.count - sent + urgent.count }

  func append(_ write: (inout [UInt8]) -> Void) {
    write(&urgent)
  }

  /// Descriptors for the first byte of what is appended next.
  func attach(_ descriptors: [SharedDescriptor]) {
    if !descriptors.isEmpty { attached.append(Attached(index: urgent.count, descriptors: descriptors)) }
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
    urgent = []
    attached = []
    light = []
    heavy = []
  }

  private func refill() -> Bool {
    // Taken out while streams write to it: an end that they tell may append to `urgent`.
    var bytes = out
    out = []
    bytes.removeAll(keepingCapacity: bytes.capacity <= 4 * Outbox.batch)
    sent = 0
    if urgent.isEmpty {
      while bytes.count < Outbox.batch, let sink = light.popFirst() ?? heavy.popFirst() {
        sink.isQueued = false
        if sink.pull(into: &bytes) { enqueue(sink) }
      }
    } else {
      swap(&bytes, &urgent)
      leaving = Deque(attached)
      attached = []
    }
    out = bytes
    return !out.isEmpty
  }
}
