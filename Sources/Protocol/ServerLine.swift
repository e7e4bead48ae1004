/// The lines that the worker writes. Each ends in LF and has its discriminating key first.
package enum ServerLine {
  /// A reply to a command.
  package struct Reply: Sendable {
    package let id: Request.ID?
    package let line: Int
    package let queuedMicroseconds: UInt64
    package let totalMicroseconds: UInt64

    package init(id: Request.ID?, line: Int, queuedMicroseconds: UInt64 = 0, totalMicroseconds: UInt64 = 0) {
      self.id = id
      self.line = line
      self.queuedMicroseconds = queuedMicroseconds
      self.totalMicroseconds = totalMicroseconds
    }
  }

  /// A line whose members the closure writes.
  package static func write(into bytes: inout [UInt8], _ members: (inout JSONWriter) -> Void) {
    // The writer works on the caller's buffer, moved in and out: no copy, no second allocation.
    var writer = JSONWriter(into: [])
    swap(&writer.bytes, &bytes)
    writer.object { members(&$0) }
    writer.bytes.append(0x0A)
    swap(&writer.bytes, &bytes)
  }

  package static func result(_ result: JSONValue, _ reply: Reply, into bytes: inout [UInt8]) {
    write(into: &bytes) { writer in
      writer.field("result", result)
      envelope(reply, &writer)
      writer.object("timing") {
        $0.field("queued_us", reply.queuedMicroseconds)
        $0.field("total_us", reply.totalMicroseconds)
      }
    }
  }

  package static func error(_ error: ProtocolError, _ reply: Reply, into bytes: inout [UInt8]) {
    write(into: &bytes) { writer in
      writer.object("error") { error.write(&$0) }
      envelope(reply, &writer)
    }
  }

  /// One that was given before.
  package static func error(_ error: JSONValue, _ reply: Reply, into bytes: inout [UInt8]) {
    write(into: &bytes) { writer in
      writer.field("error", error)
      envelope(reply, &writer)
    }
  }

  private static func envelope(_ reply: Reply, _ writer: inout JSONWriter) {
    if let id = reply.id { writer.field("id", id.json) }
    writer.field("line", reply.line)
  }

  /// The last line before a client is cut.
  package static func bye(_ code: ErrorCode, lastSequence: UInt64, into bytes: inout [UInt8]) {
    write(into: &bytes) { writer in
      writer.object("bye") {
        $0.field("code", code.rawValue)
        $0.field("seq", lastSequence)
      }
    }
  }
}

extension ProtocolError {
  fileprivate func write(_ writer: inout JSONWriter) {
    writer.field("code", code.rawValue)
    writer.field("message", message)
    writer.field("retry", code.retry.rawValue)
    writer.field("retry_after_ms", optional: retryAfterMilliseconds)
    writer.field("argument", optional: argument)
    writer.field("position", optional: position)
    writer.field("container", optional: container)
    writer.field("process", optional: process)
    writer.field("effect", optional: effect?.rawValue)
    writer.field("stage", optional: stage)
    writer.field("exit_code", optional: exitCode)
  }

  /// As JSON, to be given again.
  package var encoded: [UInt8] {
    var writer = JSONWriter()
    writer.object { write(&$0) }
    return writer.bytes
  }
}
