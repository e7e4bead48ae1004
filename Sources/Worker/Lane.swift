internal import DequeModule
internal import FIFOIO

/// A place in which one command runs at a time, in the order in which they came.
@Loop
final class Lane {
  /// Of one that waits for its turn.
  @Loop
  final class Place {
    fileprivate var turn: (@Loop () -> Void)?

    fileprivate init(_ turn: @escaping @Loop () -> Void) {
      self.turn = turn
    }
  }

  private var waiting = Deque<Place>()
  /// How many of them nobody waits in any more.
  private var withdrawn = 0
  private var held = false
  /// Commands that have let others in and will come back.
  private var outside = 0
  private let onIdle: @Loop () -> Void

  init(onIdle: @escaping @Loop () -> Void) {
    self.onIdle = onIdle
  }

  /// Calls back when it is this one's turn, perhaps at once; who is called must call `leave` later.
  ///
  /// - Returns: the place of one that waits.
  @discardableResult
  func enter(_ turn: @escaping @Loop () -> Void) -> Place? {
    if held {
      let place = Place(turn)
      waiting.append(place)
      return place
    }
    held = true
    turn()
    return nil
  }

  /// It is not called, and nothing of it is kept.
  func withdraw(_ place: Place) {
    if place.turn == nil { return }
    place.turn = nil
    withdrawn += 1
    // Not each time: a queue may be long.
    guard withdrawn * 2 > waiting.count else { return }
    waiting.removeAll { $0.turn == nil }
    withdrawn = 0
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
    while let place = waiting.popFirst() {
      if let turn = place.turn {
        place.turn = nil
        return turn()
      }
      withdrawn -= 1
    }
    held = false
    if outside == 0 { onIdle() }
  }

  var length: Int { waiting.count - withdrawn + (held ? 1 : 0) }
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
