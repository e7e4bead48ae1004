import FIFOIO
import Foundation
import Testing
import TestSupport

struct OutputReaderTests {
  /// The shim of a start that was cut short may open the FIFO before the one that counts, and go.
  @Test func aWriterThatGoesBeforeTheOneThatCountsIsNotTheEnd() async throws {
    let path = try Sandbox.newDirectory("output") + "/stdout"
    #expect(mkfifo(path, 0o600) == 0)
    EventLoop.start()
    #expect(try await read(path) == Array("late".utf8))
  }

  @Loop
  private func read(_ path: String) async throws -> [UInt8] {
    let ended = Waiter()
    let reader = try OutputReader(
      path: path, store: nil, backlog: 4096, overflow: .block, outlastsWriters: true
    ) {
      ended.resume()
    }
    close(open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC))
    // The poller has told of that by then.
    await Loop.sleep(.milliseconds(1))
    let writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
    reader.writerIsThere()
    _ = write(writer, "late", 4)
    close(writer)
    await ended.wait()
    return Array(reader.bytes(from: 0, atMost: .max))
  }
}
