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

  @Test func aPipeLeavesNoMemoryBehind() async throws {
    let path = try Sandbox.newDirectory("output") + "/stdout"
    #expect(mkfifo(path, 0o600) == 0)
    EventLoop.start()
    try await pipe(path, store: path + ".bytes")
  }

  @Loop
  private func pipe(_ path: String, store: String) async throws {
    let reader = try OutputReader(path: path, store: store, backlog: 1 << 20, overflow: .block) {}
    let writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
    let bytes = [UInt8](repeating: 0x61, count: 60_000)
    for round in 1...5 {
      #expect(write(writer, bytes, bytes.count) == bytes.count)
      while reader.bytesRead < UInt64(round * bytes.count) { await Loop.sleep(.milliseconds(1)) }
    }
    #expect(allocated(store) >= 5 * bytes.count)
    let (end, offset) = try reader.openPipe()
    _ = fcntl(end.descriptor.raw, F_SETFL, O_NONBLOCK)
    #expect(offset == 0)
    #expect(write(writer, bytes, bytes.count) == bytes.count)
    var (got, buffer) = (0, [UInt8](repeating: 0, count: 65536))
    while got < 6 * bytes.count {
      let count = Foundation.read(end.descriptor.raw, &buffer, buffer.count)
      if count > 0 { got += count } else { await Loop.sleep(.milliseconds(1)) }
    }
    #expect(allocated(store) <= 64 << 10)
    close(writer)
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
