internal import FIFOIO
internal import Journal
internal import Protocol

/// Which lifecycle events a connection gets. From its greeting on all of them, live.
struct Subscription {
  var filter = EventFilter()
  /// The last event that was sent, or is known to the client; nil once it gets them live.
  var replayed: UInt64?

  func takes(_ event: StoredEvent) -> Bool {
    replayed == nil && filter.takes(event.name, container: event.container)
  }
}

/// Sends a connection what the journal has, as fast as it reads, until nothing is left before what is live.
extension Connection {
  private static let page = 256
  /// So much may wait for the client before it gets more.
  static let replayAhead = 1 << 20

  func replay() {
    Task { @Loop in
      while !isGone, let last = subscription.replayed {
        let due = server.journal.last > last
        let events = await server.journal.events(after: last, limit: Connection.page)
        // It may have subscribed to something else meanwhile.
        guard !isGone, subscription.replayed == last else { return }
        // The journal has dropped what comes next: this is no place to go on from.
        if due, events.first?.sequence != last + 1 { return cutOff(.cursorExpired, lastSequence: last) }
        send(events, after: last)
        await waitUntilTaken()
      }
      closeWhenDone()
    }
  }

  private func send(_ events: [StoredEvent], after last: UInt64) {
    let journal = server.journal
    var next = last
    for event in events where event.sequence == next + 1 {
      next += 1
      if subscription.filter.takes(event.name, container: event.container) { send { $0 += event.line } }
    }
    // In the same turn as the last look, so that no event can come between.
    subscription.replayed = next == journal.last ? nil : next
  }
}
