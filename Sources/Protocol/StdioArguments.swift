/// What becomes of a process when the connection that started it goes.
package enum OnDisconnect: String, Sendable, CaseIterable {
  case keep, kill
}

/// What a connection is to a stream.
package enum StreamRole: String, Sendable, CaseIterable {
  /// Its pace is the stream's; there is one.
  case controller
  /// Misses what it does not take in time.
  case observer
}

/// How a stream goes between a process and a client.
package enum AttachMode: String, Sendable, CaseIterable {
  /// As lines.
  case json
  /// The client gets the FIFO's own end.
  case fd
  /// The client gets the end of a pipe, and the worker moves the bytes without touching them.
  case pipe
}

/// How output reaches the connection that attaches.
package struct Attachment: Sendable, Equatable {
  package var streams: Set<StreamName> = [.stdout, .stderr]
  package var encoding: Encoding = .auto
  /// The first byte of each stream that is wanted; where the last controller stopped when it is not said.
  package var from: [StreamName: UInt64] = [:]
  /// Bytes of each stream that may be sent before credit is granted; without it the connection alone decides.
  package var window: UInt64?
  /// Controller where there is none, observer where there is one, when it is not said.
  package var role: StreamRole?
  package var mode = AttachMode.json

  package init() {}

  /// - Parameters:
  ///   - bytes: those that it may begin with.
  ///   - modes: those that it may have.
  init(
    _ arguments: inout Arguments, from bytes: ClosedRange<Int64> = 0...Limits.offset,
    modes: [AttachMode] = AttachMode.allCases
  ) throws(ProtocolError) {
    streams = try Attachment.readStreams(&arguments)
    encoding = try arguments.choice("encoding", Encoding.self) ?? .auto
    role = try arguments.choice("role", StreamRole.self)
    mode = try arguments.choice("mode", AttachMode.self, among: modes) ?? .json
    window = try arguments.integer("window", in: 0...Limits.offset).map { UInt64($0) }
    from = try Attachment.readFrom(&arguments, bytes)
  }

  static func readStreams(_ arguments: inout Arguments) throws(ProtocolError) -> Set<StreamName> {
    guard let names = try arguments.strings("streams", of: Schema.choice(StreamName.self), sample: "stdout")
    else { return [.stdout, .stderr] }
    var streams: Set<StreamName> = []
    for name in names {
      guard let stream = StreamName(rawValue: name) else {
        throw arguments.invalid("streams", "an array of stdin, stdout and stderr")
      }
      streams.insert(stream)
    }
    return streams
  }

  /// One offset for all streams, or an object with one for each.
  private static func readFrom(
    _ arguments: inout Arguments, _ bytes: ClosedRange<Int64>
  ) throws(ProtocolError) -> [StreamName: UInt64] {
    let isPerStream = arguments.peek("from")?.object != nil
    return try arguments.either(isPerStream) { arguments throws(ProtocolError) in
      try arguments.nested("from") { nested throws(ProtocolError) in
        var offsets: [StreamName: UInt64] = [:]
        for stream in [StreamName.stdout, .stderr] {
          offsets[stream] = try nested.integer(stream.rawValue, in: bytes).map { UInt64($0) }
        }
        return offsets
      } ?? [:]
    } or: { arguments throws(ProtocolError) in
      guard let offset = try arguments.integer("from", in: bytes) else { return [:] }
      return [.stdout: UInt64(offset), .stderr: UInt64(offset)]
    }
  }
}

/// What becomes of output that nobody reads, once the backlog is full.
package enum OverflowPolicy: String, Sendable, CaseIterable {
  case block, drop
}

/// How the outputs of a process are kept for who reads later.
package struct StdioOptions: Sendable, Equatable {
  package let overflow: OverflowPolicy
  /// Bytes of each stream.
  package let backlog: Int

  package init() {
    overflow = .block
    backlog = Limits.window
  }

  init(_ arguments: inout Arguments) throws(ProtocolError) {
    overflow = try arguments.choice("overflow", OverflowPolicy.self) ?? .block
    backlog = Int(try arguments.integer("backlog", in: 0...Int64(Limits.backlog)) ?? Int64(Limits.window))
  }
}

/// What `task.start`, `process.exec` and `run` say about a process's stdio.
package struct StdioArguments: Sendable {
  /// Without it the process reads /dev/null.
  package let stdin: Bool
  package let size: TerminalSize?
  package let attach: Attachment?
  package let options: StdioOptions

  init(_ arguments: inout Arguments, modes: [AttachMode] = AttachMode.allCases) throws(ProtocolError) {
    stdin = try arguments.bool("stdin") ?? false
    size = try arguments.nested("size") { nested throws(ProtocolError) in try TerminalSize(&nested) }
    attach = try arguments.nested("attach") { nested throws(ProtocolError) in
      // A process that does not run yet has no byte but the first to come.
      try Attachment(&nested, from: 0...0, modes: modes)
    }
    options =
      try arguments.nested("stdio") { nested throws(ProtocolError) in try StdioOptions(&nested) }
      ?? StdioOptions()
  }
}
