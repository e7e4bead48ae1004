/// The client introduces itself; optional.
package struct Hello: Command {
  package static let name = "hello"
  /// What the client takes beyond the defaults.
  package let accept: [Feature]

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    // For who reads the lines.
    _ = try arguments.string("client")
    // Those that a later worker may have are no mistake.
    accept = (try arguments.strings("accept") ?? []).compactMap(Feature.init)
  }
}

/// What only a client that said so gets.
package enum Feature: String, Sendable, CaseIterable {
  /// Descriptors with a reply, by SCM_RIGHTS.
  case attachFD = "attach.fd"
  /// Events that can be had again, and keys that are remembered; needs no opt-in.
  case replay
}

/// Does nothing, at once.
package struct Ping: Command {
  package static let name = "ping"
  package init(_ arguments: inout Arguments) throws(ProtocolError) {}
}

/// The versions of worker, protocol and containerd.
package struct Version: Command {
  package static let name = "version"
  package init(_ arguments: inout Arguments) throws(ProtocolError) {}
}

/// The schema of every command, event and error.
package struct Describe: Command {
  package static let name = "describe"
  /// One of them; all when it is not said.
  package let about: String?

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    about = try arguments.string("name")
  }
}

/// Counters of the worker.
package struct WorkerStatus: Command {
  package static let name = "worker.status"
  package init(_ arguments: inout Arguments) throws(ProtocolError) {}
}

/// Cancels a command of this connection.
package struct Cancel: Command {
  package static let name = "cancel"
  package let target: Request.ID

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    switch arguments.take("target", Schema.any([Schema.string, Schema.anyInteger]), sample: 0) {
    case nil: throw arguments.missing("target")
    case .string(let text): target = .string(text)
    case .int(let number): target = .int(number)
    default: throw arguments.invalid("target", "the id of a command")
    }
  }
}
