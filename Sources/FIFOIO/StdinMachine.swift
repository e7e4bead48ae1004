/// What happens to a process's stdin, as a pure state machine: who holds it does the actions it returns.
///
/// `waiting → opening → open → closed`, or `broken` from any of them. Closing means: all bytes written, own
/// descriptor closed first, then CloseIO exactly once, and only once the process has started (before, containerd
/// answers OK and does nothing, or loses it: moby#37870, containerd#4489).
package struct StdinMachine: Sendable, Equatable {
  package enum Phase: Sendable, Equatable {
    /// The shim has not opened its end: bytes are kept.
    case waiting
    /// It may have: opening is tried until it succeeds.
    case opening
    case open
    case closed
    /// The process does not read any more.
    case broken
    /// A client writes to the FIFO itself.
    case handedOver
  }

  package enum Action: Sendable, Equatable {
    case open
    case write
    case closeDescriptor
    /// Tell containerd; after `closeDescriptor`.
    case closeIO
    case drop
  }

  package private(set) var phase = Phase.waiting
  /// Bytes accepted since the start.
  package private(set) var accepted: UInt64 = 0
  /// Bytes accepted and not written yet.
  package private(set) var pending = 0
  package private(set) var closeAsked = false
  /// Where it closes once so much is accepted.
  package private(set) var closesAt: UInt64?
  private var started = false
  private var closeIODone = false

  package init() {}

  /// One that goes on: so much was accepted, so much of it is not written, and it was closed behind that, or is to be
  /// where an offset is reached.
  package init(accepted: UInt64, pending: Int, closed: Bool, closesAt: UInt64? = nil) {
    (self.accepted, self.pending, self.closesAt) = (accepted, pending, closesAt)
    closeAsked = closed || closesAt.map { $0 <= accepted } ?? false
  }

  package enum Refusal: Error, Sendable, Equatable {
    case closed, broken, handedOver, cancelled
    /// There is no room to keep the bytes, or none that can be had.
    case notKept(String)
    /// The offset is not where the stream is.
    case misplaced(accepted: UInt64)
  }

  /// How many of these bytes were accepted before: a write that is repeated is not doubled.
  package func known(_ count: Int, at offset: UInt64) throws(Refusal) -> Int {
    if offset > accepted { throw .misplaced(accepted: accepted) }
    return Int(min(UInt64(count), accepted - offset))
  }

  /// Accepts bytes, which the holder keeps until they are written.
  package mutating func accept(_ count: Int) throws(Refusal) -> [Action] {
    if phase == .broken { throw .broken }
    if phase == .handedOver { throw .handedOver }
    if closeAsked || phase == .closed { throw .closed }
    if let closesAt, accepted + UInt64(count) > closesAt { throw .closed }
    accepted += UInt64(count)
    pending += count
    let actions: [Action] = phase == .open && count > 0 ? [.write] : []
    return accepted == closesAt ? actions + close() : actions
  }

  /// Asked to close, now. Again is no error and does nothing.
  package mutating func close() -> [Action] {
    if closeAsked { return [] }
    closeAsked = true
    return settle()
  }

  /// Asked to close once everything before an offset is accepted. The first such offset stays.
  package mutating func close(at offset: UInt64) throws(Refusal) -> [Action] {
    if offset < accepted { throw .misplaced(accepted: accepted) }
    if offset == accepted { return close() }
    if closeAsked { throw .closed }
    closesAt = closesAt ?? offset
    return []
  }

  /// Fails where nothing would be accepted.
  package func checkTakes() throws(Refusal) {
    if phase == .broken { throw .broken }
    if phase == .handedOver { throw .handedOver }
    if closeAsked || closesAt != nil || phase == .closed { throw .closed }
  }

  /// True when the FIFO is open and everything is written.
  package func canHandOver() throws(Refusal) -> Bool {
    try checkTakes()
    return phase == .open && pending == 0
  }

  /// The FIFO is given away, where it can be.
  package mutating func handOver() {
    phase = .handedOver
  }

  /// Bytes that went by without being kept.
  package mutating func relayed(_ count: Int) {
    accepted += UInt64(count)
  }

  /// The shim has, or is about to have, its end open: Create has returned for init, Start for an exec.
  package mutating func shimIsReady() -> [Action] {
    guard phase == .waiting else { return [] }
    phase = .opening
    // Also where nothing is to be written: only an open that succeeds proves that the shim reads. It opens its ends in
    // goroutines (containerd/fifo, OpenFifo), and a CloseIO that overtakes them leaves a reader that waits for a writer for
    // ever.
    return [.open]
  }

  /// Start has returned: CloseIO has an effect from now on.
  package mutating func processStarted() -> [Action] {
    started = true
    return settle()
  }

  package mutating func opened() -> [Action] {
    guard phase == .opening else { return [.closeDescriptor] }
    phase = .open
    return pending > 0 ? [.write] : settle()
  }

  package mutating func wrote(_ count: Int) -> [Action] {
    pending -= count
    return pending == 0 ? settle() : []
  }

  /// The process is gone, never came, or closed its end: what it has not read is dropped, and nobody is asked to
  /// close anything.
  package mutating func end() -> [Action] {
    switch phase {
    case .closed, .broken: return []
    case .waiting, .opening, .open, .handedOver:
      let wasOpen = phase == .open
      phase = .broken
      pending = 0
      return wasOpen ? [.closeDescriptor, .drop] : [.drop]
    }
  }

  /// What a close that was asked for allows by now.
  private mutating func settle() -> [Action] {
    guard closeAsked, pending == 0 else { return [] }
    var actions: [Action] = []
    switch phase {
    case .waiting, .opening, .broken: return []
    case .open: actions.append(.closeDescriptor)
    case .closed, .handedOver: break
    }
    if phase != .handedOver { phase = .closed }
    if started, !closeIODone {
      closeIODone = true
      actions.append(.closeIO)
    }
    return actions
  }
}
