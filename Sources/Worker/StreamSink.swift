internal import FIFOIO
internal import Protocol
internal import Runtime

/// One output stream of a process on its way to one connection.
@Loop
final class StreamSink: OutputSink {
  let process: ContainerProcess
  let stream: StreamName
  private let reader: OutputReader
  private let line: StdioLine
  private unowned let connection: Connection
  private var over = false

  init(
    _ reader: OutputReader, of process: ContainerProcess, stream: StreamName, encoding: Encoding,
    to connection: Connection
  ) {
    self.reader = reader
    self.process = process
    self.stream = stream
    self.connection = connection
    line = StdioLine(
      container: process.container, process: process.name, stream: stream, encoding: encoding)
  }

  var hasRoom: Bool { connection.hasRoomForStdio }
  var isFlushed: Bool { connection.stdioIsFlushed }

  func deliver(_ chunk: UnsafeRawBufferPointer, from reader: OutputReader, offset: UInt64, final: Bool) -> Int
  {
    connection.sendStdio { line.append(chunk, offset: offset, final: final, to: &$0) }
  }

  func gave(up range: Range<UInt64>, of reader: OutputReader) {
    // Before the process.closed that follows, which does not wait behind stdio.
    connection.send { bytes in
      ServerLine.write(into: &bytes) { writer in
        writer.field("event", "stdio.gap")
        writer.field("container", process.container)
        writer.field("process", process.name.description)
        writer.field("stream", stream.rawValue)
        writer.field("from", range.lowerBound)
        writer.field("to", range.upperBound)
        writer.field("reason", "timeout")
      }
    }
  }

  func ended(_ reader: OutputReader) {
    over = true
    connection.sendStdio { bytes in
      ServerLine.write(into: &bytes) { writer in
        writer.field("event", "stdio.eof")
        writer.field("container", process.container)
        writer.field("process", process.name.description)
        writer.field("stream", stream.rawValue)
        writer.field("offset", reader.bytesDelivered)
      }
    }
  }

  /// What this sink has delivered is on its way to the client.
  func roomAgain() {
    if over {
      connection.remove(self)
      process.outputMayHaveEnded()
    } else {
      reader.resume()
    }
  }

  /// The client wants no more of it.
  func leave() {
    connection.remove(self)
    detach()
  }

  func detach() {
    reader.detach(self)
    // Nobody waits for output any more: that may have been the last thing.
    process.outputMayHaveEnded()
  }
}

extension ContainerProcess {
  var name: ProcessName { exec.map(ProcessName.exec) ?? .initial }

  func reader(_ stream: StreamName) -> OutputReader? {
    switch stream {
    case .stdin: nil
    case .stdout: stdout
    case .stderr: stderr
    }
  }
}
