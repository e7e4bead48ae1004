/// Lifecycle events from a place on: first those that the journal has, then live, without a hole between them.
package struct EventsSubscribe: Command {
  package enum Place: Sendable, Equatable {
    /// What comes after an event that the client has.
    case after(epoch: String, sequence: UInt64)
    /// The oldest that there is.
    case start
    case now
  }

  package static let name = "events.subscribe"
  package let from: Place
  package let filter: EventFilter

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    from = try EventsSubscribe.place(&arguments)
    filter =
      try arguments.nested("filter") { nested throws(ProtocolError) in try EventFilter(&nested) }
      ?? EventFilter()
  }

  private static func place(_ arguments: inout Arguments) throws(ProtocolError) -> Place {
    let isEvent = arguments.peek("from")?.object != nil
    return try arguments.either(isEvent) { arguments throws(ProtocolError) in
      try arguments.nested("from") { nested throws(ProtocolError) in
        guard let epoch = try nested.string("epoch") else { throw nested.missing("epoch") }
        guard let sequence = try nested.integer("seq", in: 0...Limits.offset) else {
          throw nested.missing("seq")
        }
        return .after(epoch: epoch, sequence: UInt64(sequence))
      } ?? .now
    } or: { arguments throws(ProtocolError) in
      switch arguments.take("from", Schema.choice(["start", "now"]), sample: "now") {
      case "start": return .start
      case nil, "now": return .now
      default: throw arguments.invalid("from", "\"start\", \"now\" or an object with epoch and seq")
      }
    }
  }
}

/// Which events a client wants; all where it does not say.
package struct EventFilter: Sendable, Equatable {
  package let events: Set<String>?
  package let containers: Set<String>?

  package init() {
    (events, containers) = (nil, nil)
  }

  init(_ arguments: inout Arguments) throws(ProtocolError) {
    events = try arguments.strings("events").map(Set.init)
    containers = try arguments.strings("containers").map(Set.init)
  }

  package func takes(_ event: String, container: String?) -> Bool {
    if let events, !events.contains(event) { return false }
    guard let containers else { return true }
    return container.map(containers.contains) ?? false
  }
}

/// Lets the journal forget events up to one.
package struct EventsAck: Command {
  package static let name = "events.ack"
  package let sequence: UInt64

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    guard let sequence = try arguments.integer("seq", in: 0...Limits.offset) else {
      throw arguments.missing("seq")
    }
    self.sequence = UInt64(sequence)
  }
}
