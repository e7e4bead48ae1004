internal import CLinux
internal import Glibc
internal import HeapModule

/// Who is told that a descriptor is ready.
@Loop
package protocol ReadinessHandler: AnyObject {
  func ready(readable: Bool, writable: Bool, hangup: Bool)
}

/// epoll and timers. Level-triggered: what is not taken is told again.
@Loop
package final class Poller {
  package static let shared = Poller()

  /// A registration carries its generation into epoll, so that an event that was already fetched for a descriptor
  /// closed meanwhile is not taken for one of its successor.
  package struct Registration: Sendable, Equatable {
    fileprivate let slot: Int
    fileprivate let generation: UInt32
  }

  package struct TimerID: Hashable, Sendable {
    fileprivate let number: UInt64
  }

  private struct Slot {
    var generation: UInt32 = 0
    var fd: Int32 = -1
    var handler: (any ReadinessHandler)?
  }

  private struct Deadline: Comparable {
    let time: UInt64
    let id: TimerID
    static func < (a: Deadline, b: Deadline) -> Bool { (a.time, a.id.number) < (b.time, b.id.number) }
  }

  /// In a struct, as a collection would wrap each closure in another one, on the heap.
  private struct Action {
    let run: @Loop () -> Void
  }

  private let epoll = clinux_epoll_create()
  private var slots: [Slot] = []
  private var free: [Int] = []
  private var deadlines = Heap<Deadline>()
  private var actions: [TimerID: Action] = [:]
  private var lastTimer: UInt64 = 0
  private var events = [clinux_event](repeating: clinux_event(), count: 256)
  private var wakeup: Int32 = -1
  private var deferred: [Action] = []

  /// Watches a descriptor, which must be taken out by `remove` before it is closed.
  package func add(
    _ descriptor: borrowing Descriptor, readable: Bool, writable: Bool, handler: any ReadinessHandler
  ) throws(SystemError) -> Registration {
    let index = free.popLast() ?? slots.count
    if index == slots.count { slots.append(Slot()) }
    slots[index].generation &+= 1
    slots[index].fd = descriptor.raw
    slots[index].handler = handler
    let registration = Registration(slot: index, generation: slots[index].generation)
    guard control(EPOLL_CTL_ADD, registration, interest(readable, writable)) == 0 else {
      let error = SystemError.last("epoll_ctl")
      release(index)
      throw error
    }
    return registration
  }

  package func change(_ registration: Registration, readable: Bool, writable: Bool) {
    guard isCurrent(registration) else { return }
    _ = control(EPOLL_CTL_MOD, registration, interest(readable, writable))
  }

  package func remove(_ registration: Registration) {
    guard isCurrent(registration) else { return }
    _ = control(EPOLL_CTL_DEL, registration, 0)
    release(registration.slot)
  }

  package func schedule(after duration: Duration, _ action: @escaping @Loop () -> Void) -> TimerID {
    lastTimer += 1
    let id = TimerID(number: lastTimer)
    let (seconds, attoseconds) = duration.components
    let delay =
      UInt64(max(0, min(seconds, 1 << 32))) * 1_000_000_000 + UInt64(max(0, attoseconds / 1_000_000_000))
    deadlines.insert(Deadline(time: clinux_monotonic_ns() + delay, id: id))
    actions[id] = Action(run: action)
    return id
  }

  package func cancel(_ id: TimerID) {
    guard actions.removeValue(forKey: id) != nil else { return }
    // Cancelled timers stay in the heap until their time, or until they are the greater part of it.
    if deadlines.count > 2 * actions.count + 64 {
      let live = deadlines.unordered.filter { actions[$0.id] != nil }
      deadlines = Heap(live)
    }
  }

  /// Runs an action once at the end of this round, before the loop waits again: for what many events cause and one
  /// system call can do.
  package func atEndOfRound(_ action: @escaping @Loop () -> Void) {
    deferred.append(Action(run: action))
  }

  /// The descriptors watched and the timers set.
  package var load: (descriptors: Int, timers: Int) { (slots.count - free.count, actions.count) }

  func watchWakeup(_ fd: Int32) {
    wakeup = fd
    _ = clinux_epoll_control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN.rawValue, UInt64.max)
  }

  /// One round: waits for events unless told not to, then hands them out, then the timers that are due.
  func turn(wait: Bool) {
    let count = Int(clinux_epoll_wait(epoll, &events, 256, wait ? timeout() : 0))
    for index in 0..<max(0, count) {
      let event = events[index]
      if event.data == UInt64.max {
        var counter: UInt64 = 0
        _ = read(wakeup, &counter, 8)
        continue
      }
      let registration = Registration(
        slot: Int(event.data & 0xFFFF_FFFF), generation: UInt32(event.data >> 32))
      guard isCurrent(registration), let handler = slots[registration.slot].handler else { continue }
      let mask = event.events
      handler.ready(
        readable: mask & EPOLLIN.rawValue != 0, writable: mask & EPOLLOUT.rawValue != 0,
        hangup: mask & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0)
    }
    fireTimers()
    // What an action defers in turn runs in this round too.
    var next = 0
    while next < deferred.count {
      deferred[next].run()
      next += 1
    }
    deferred.removeAll(keepingCapacity: deferred.count <= 256)
  }

  private func fireTimers() {
    if deadlines.isEmpty { return }
    let now = clinux_monotonic_ns()
    while let next = deadlines.min, next.time <= now || actions[next.id] == nil {
      deadlines.removeMin()
      if let action = actions.removeValue(forKey: next.id) { action.run() }
    }
  }

  /// Nanoseconds until the next timer, a minute at most.
  private func timeout() -> Int64 {
    guard let next = deadlines.min else { return -1 }
    let now = clinux_monotonic_ns()
    return next.time <= now ? 0 : Int64(min(next.time - now, 60_000_000_000))
  }

  private func interest(_ readable: Bool, _ writable: Bool) -> UInt32 {
    (readable ? EPOLLIN.rawValue : 0) | (writable ? EPOLLOUT.rawValue : 0)
  }

  private func control(_ operation: Int32, _ registration: Registration, _ events: UInt32) -> Int32 {
    clinux_epoll_control(
      epoll, operation, slots[registration.slot].fd, events,
      UInt64(registration.generation) << 32 | UInt64(registration.slot))
  }

  private func isCurrent(_ registration: Registration) -> Bool {
    registration.slot < slots.count && slots[registration.slot].generation == registration.generation
      && slots[registration.slot].handler != nil
  }

  private func release(_ index: Int) {
    slots[index].handler = nil
    slots[index].fd = -1
    free.append(index)
  }
}
