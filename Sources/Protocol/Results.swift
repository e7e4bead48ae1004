/// What recurs in results and events.
enum Part {
  static let bytes = Schema.integer(0...Limits.offset)
  static let sequence = Schema.integer(0...Limits.offset)
  /// RFC 3339, in UTC with nanoseconds.
  static let time = Schema.matching("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{9}Z$")
  static let process: [String: JSONValue] = ["container": Schema.string, "process": Schema.string]
  static let started = process.merging(["pid": Schema.count]) { own, _ in own }
  /// Null where nobody knows any more.
  static let exit: [String: JSONValue] = [
    "exit_code": Schema.nullable(Schema.count), "exited_at": Schema.nullable(time), "oom": Schema.bool,
  ]
  /// What became of a stream.
  static let summary = Schema.object([
    "bytes": Schema.count, "end": Schema.choice(["eof", "timeout", "lost", "handed_over", "none"]),
  ])
  static let summaries: [String: JSONValue] = ["stdout": summary, "stderr": summary]
  static let version = Schema.nullable(Schema.string)

  /// A process in `container.inspect` and in a snapshot.
  static let known = Schema.object(
    [
      "process": Schema.string, "pid": Schema.count, "terminal": Schema.bool, "stdin": Schema.bool,
      "status": Schema.choice(["created", "running", "paused", "stopped"]),
    ], optional: exit)

  static let summaryOfContainer: [String: JSONValue] = [
    "container": Schema.string, "labels": Schema.map(of: Schema.string), "image": Schema.string,
    "runtime": Schema.string, "created_at": Schema.nullable(time),
  ]

  /// What tells of attached streams: by lines, or by descriptors where these were asked for.
  static let attached: [String: JSONValue] = {
    let descriptor = Schema.object(["offset": bytes, "fd": Schema.count])
    let output = Schema.any([
      Schema.object(["offset": bytes, "role": Schema.choice(StreamRole.self)]), descriptor,
    ])
    return [
      "stdin": Schema.any([Schema.object(["offset": bytes, "credit": bytes]), descriptor]), "stdout": output,
      "stderr": output, "fds": Schema.array(of: Schema.choice(StreamName.self)),
    ]
  }()

  static func merged(_ parts: [String: JSONValue]...) -> [String: JSONValue] {
    parts.reduce([:]) { $0.merging($1) { own, _ in own } }
  }
}

// The schema of each command's result.

extension Hello {
  package static var result: JSONValue {
    Schema.object(["protocol": Schema.constant(1), "features": Schema.array(of: Schema.string)])
  }
}

extension Ping {
  package static var result: JSONValue { Schema.object() }
}

extension Version {
  package static var result: JSONValue {
    Schema.object([
      "worker": Schema.object(["name": Schema.string, "version": Schema.string]),
      "protocol": Schema.constant(1),
      "containerd": Schema.object(["version": Schema.string, "revision": Schema.string]),
    ])
  }
}

extension WorkerStatus {
  package static var result: JSONValue {
    let counts = [
      "uptime_ms", "rpc_in_flight", "containers", "processes", "fds", "threads", "memory_bytes",
      "watched_fds",
    ]
    return Schema.object(
      Part.merged(
        Dictionary(uniqueKeysWithValues: counts.map { ($0, Schema.count) }),
        [
          "connections": Schema.object(["open": Schema.count, "accepted": Schema.count]),
          "queue": Schema.object(["commands": Schema.count, "lanes": Schema.count, "waiting": Schema.count]),
          "rpc": Schema.map(of: Schema.count),
          "events": Schema.object([
            "epoch": Schema.string, "first": Schema.count, "last": Schema.count, "received": Schema.count,
            "ignored": Schema.count,
          ]),
          "journal": Schema.object([
            "written": Schema.count, "waiting": Schema.count, "keys": Schema.count,
            "failure": Schema.nullable(Schema.string),
          ]),
          "bytes": Schema.object(["waiting": Schema.count]),
          "containerd": Schema.object([
            "connected": Schema.bool, "address": Schema.string, "version": Part.version,
            "failure": Schema.string,
          ]),
        ]))
  }
}

extension Cancel {
  package static var result: JSONValue { Schema.object(["cancelled": Schema.bool]) }
}

extension Describe {
  package static var result: JSONValue {
    let parts = Schema.map(of: Schema.anyObject)
    return Schema.object(
      ["protocol": Schema.constant(1)],
      optional: ["commands": parts, "events": parts, "errors": parts, "lines": parts])
  }
}

extension EventsSubscribe {
  package static var result: JSONValue {
    let container = Schema.object(
      ["container": Schema.string],
      optional: ["task": Schema.nullable(Part.known), "processes": Schema.array(of: Part.known)])
    return Schema.object([
      "cursor": Schema.object(["epoch": Schema.string, "seq": Part.sequence]),
      "snapshot": Schema.object([
        "seq": Part.sequence, "complete": Schema.bool, "containers": Schema.array(of: container),
      ]),
    ])
  }
}

extension EventsAck {
  package static var result: JSONValue { Schema.object(["first": Part.sequence, "last": Part.sequence]) }
}
