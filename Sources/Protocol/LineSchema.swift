/// The kinds of line, by the key that comes first: the envelope of what the rest of a description has.
enum LineSchema {
  static var all: [String: JSONValue] {
    [
      "command": command, "hello": hello,
      "result": Schema.object(
        Part.merged(["result": Schema.anyObject, "timing": timing], line), optional: ["id": id]),
      "error": Schema.object(
        Part.merged(["error": Schema.object(["code": Schema.choice(ErrorCode.self)])], line),
        optional: ["id": id]),
      "event": Schema.object(["event": Schema.choice(EventName.self)]),
      "bye": Schema.object([
        "bye": Schema.object([
          "code": Schema.choice([ErrorCode.slowConsumer, .cursorExpired].map(\.rawValue)),
          "seq": Part.sequence,
        ])
      ]),
    ]
  }

  private static let line: [String: JSONValue] = ["line": Schema.count]

  private static var id: JSONValue {
    Schema.any([Schema.string(1...Limits.id), Schema.integer(-Limits.offset...Limits.offset)])
  }

  private static var timing: JSONValue {
    Schema.object(["queued_us": Schema.count, "total_us": Schema.count])
  }

  private static var command: JSONValue {
    Schema.closed(
      [
        "command": Schema.choice(Commands.all.map { $0.name }), "id": id,
        "key": Schema.string(1...Limits.key),
        "deadline_ms": Schema.count, "arguments": Schema.anyObject,
      ], required: ["command"])
  }

  private static var hello: JSONValue {
    let limits = ["line", "depth", "inflight", "chunk", "window", "backlog", "stdin", "output"]
    return Schema.object([
      "hello": Schema.object([
        "protocol": Schema.constant(1),
        "worker": Schema.object(["name": Schema.string, "version": Schema.string]),
        "epoch": Schema.string,
        "containerd": Schema.object(["version": Part.version, "connected": Schema.bool]),
        "namespace": Schema.string, "features": Schema.array(of: Schema.string),
        "limits": Schema.object(Dictionary(uniqueKeysWithValues: limits.map { ($0, Schema.count) })),
        "events": Schema.object(["first": Part.sequence, "last": Part.sequence]),
      ])
    ])
  }
}
