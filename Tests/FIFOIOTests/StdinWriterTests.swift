import FIFOIO
import Foundation
import Testing
import TestSupport

struct StdinWriterTests {
  /// Not between the writes of a client that has many: getting it again took more time than the rest of a write.
  @Test(.timeLimit(.minutes(1))) func memoryIsGivenBackOnceNothingHasBeenWrittenForAWhile() async throws {
    let directory = try Sandbox.newDirectory("input")
    EventLoop.start()
    try await write(directory + "/stdin", store: directory + "/stdin.bytes")
  }

  @Loop
  private func write(_ path: String, store: String) async throws {
    #expect(mkfifo(path, 0o600) == 0)
    let reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    defer { close(reader) }
    let writer = try StdinWriter(path: path, store: store, closeIO: {}, onBreak: {}, onCredit: { _ in })
    let bytes = [UInt8](repeating: 0x61, count: 60_000)
    #expect(try await writer.write(bytes, at: nil) == 60_000)
    writer.shimIsReady()
    #expect(allocated(store) >= 60_000)
    while allocated(store) >= 60_000 { await Loop.sleep(.milliseconds(10)) }
    var read = [UInt8](repeating: 0, count: 65536)
    #expect(Foundation.read(reader, &read, read.count) == 60_000)
    writer.end()
  }

  /// As a kill between two stores, or a damaged file, can leave it: its position lies before what is kept.
  @Test(.timeLimit(.minutes(1))) func whatIsNotKeptIsNotWaitedFor() async throws {
    let directory = try Sandbox.newDirectory("input")
    EventLoop.start()
    try await resume(directory + "/stdin", store: directory + "/stdin.bytes")
  }

  @Loop
  private func resume(_ path: String, store: String) async throws {
    #expect(mkfifo(path, 0o600) == 0)
    let reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    defer { close(reader) }
    let first = try StdinWriter(path: path, store: store, closeIO: {}, onBreak: {}, onCredit: { _ in })
    let room = first.credit
    first.shimIsReady()
    #expect(try await first.write([1, 2, 3, 4], at: nil) == 4)
    first.letGo()
    let file = open(store, O_RDWR)
    var position: UInt64 = 1
    #expect(pwrite(file, &position, 8, 40) == 8)
    close(file)
    let second = try StdinWriter(
      path: path, store: store, resuming: true, closeIO: {}, onBreak: {}, onCredit: { _ in })
    try #require(second.credit == 4 + room)
    second.shimIsReady()
    #expect(try await second.write([5, 6], at: 4) == 6)
    var read = [UInt8](repeating: 0, count: 10)
    #expect(Foundation.read(reader, &read, read.count) == 6)
    #expect(read.prefix(6) == [1, 2, 3, 4, 5, 6])
    second.end()
  }
}
