/// Output comes to this connection from where the last reader stopped.
package struct StdioAttach: Command {
  package static let name = "stdio.attach"
  package let container: String
  package let process: ProcessName
  package let attachment: Attachment

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
    attachment = try Attachment(&arguments)
  }
}

/// Output no longer comes to this connection.
package struct StdioDetach: Command {
  package static let name = "stdio.detach"
  package let container: String
  package let process: ProcessName
  package let streams: Set<StreamName>

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
    streams = try Attachment.readStreams(&arguments)
  }
}

/// Grants output up to an absolute offset.
package struct StdioCredit: Command {
  package static let name = "stdio.credit"
  package let container: String
  package let process: ProcessName
  package let stream: StreamName
  package let offset: UInt64

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
    guard let stream = try arguments.choice("stream", StreamName.self, among: [.stdout, .stderr]) else {
      throw arguments.missing("stream")
    }
    self.stream = stream
    guard let offset = try arguments.offset() else { throw arguments.missing("offset") }
    self.offset = offset
  }
}

/// Bytes for stdin.
package struct StdioWrite: Command {
  package static let name = "stdio.write"
  package let container: String
  package let process: ProcessName
  package let bytes: [UInt8]
  /// Where they belong; behind all that there is when it is not said.
  package let offset: UInt64?

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
    offset = try arguments.offset()
    if let text = try arguments.string("text") {
      if arguments.peek("base64") != nil { throw arguments.invalid("base64", "absent where text is given") }
      bytes = Array(text.utf8)
    } else {
      guard let decoded = try arguments.base64("base64") else { throw arguments.missing("text") }
      bytes = decoded
    }
  }
}

/// Closes stdin once all bytes before it are written.
package struct StdioClose: Command {
  package static let name = "stdio.close"
  package let container: String
  package let process: ProcessName
  /// Closes once everything before it is accepted; now when it is not said.
  package let offset: UInt64?

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    process = try arguments.process()
    offset = try arguments.offset()
  }
}
