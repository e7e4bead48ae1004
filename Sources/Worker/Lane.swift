internal import DequeModule
internal import FIFOIO

/// A place in which one command runs at a time, in the order in which they came.
@Loop
final class Lane {
  private var waiting = Deque<@Loop () -> Void>()
  private var held = false
  /// Commands that have let others in and will come back.
  private var outside = 0
  private let onIdle: @Loop () -> Void

  init(onIdle: @escaping @Loop () -> Void) {
    self.onIdle = onIdle
  }

  /// Calls back when it is this one's turn, perhaps at once; who is called must call `leave` later.
  func enter(_ turn: @escaping @Loop () -> Void) {
    if held {
      waiting.append(turn)
    } else {
      held = true
      turn()
    }
  }

  /// Lets others in, to come back by `comeBack`; the lane stays until then.
  func stepOut() {
    outside += 1
    leave()
  }

  /// Waits for the turn, also in a task that is cancelled: what runs then is clean-up.
  func comeBack() async {
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      enter { continuation.resume() }
    }
    outside -= 1
  }

  func leave() {
    if let next = waiting.popFirst() { return next() }
    held = false
    if outside == 0 { onIdle() }
  }

  var length: Int { waiting.count + (held ? 1 : 0) }
}

/// Opens once; who waits goes on then.
@Loop
final class Gate {
  private var isOpen = false
  private var waiting: [UnsafeContinuation<Void, Never>] = []

  func open() {
    isOpen = true
    let waiting = waiting
    self.waiting = []
    for continuation in waiting { continuation.resume() }
  }

  func pass() async {
    if isOpen { return }
    await withUnsafeContinuation { waiting.append($0) }
  }
}
