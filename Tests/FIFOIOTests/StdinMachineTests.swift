import FIFOIO
import Testing

/// When stdin is opened, written, closed, and when containerd is told.
struct StdinMachineTests {
  @Test func aWriteAndACloseBeforeTheProcessRunsWaitForIt() throws {
    var stdin = StdinMachine()
    #expect(try stdin.accept(5) == [])
    #expect(stdin.close() == [])
    #expect(stdin.processStarted() == [])
    #expect(stdin.shimIsReady() == [.open])
    #expect(stdin.opened() == [.write])
    #expect(stdin.wrote(2) == [])
    #expect(stdin.wrote(3) == [.closeDescriptor, .closeIO])
    #expect(stdin.phase == .closed)
  }

  /// A CloseIO that overtakes the shim's own opening of the FIFO is never seen by the process.
  @Test func anEmptyStdinIsOpenedBeforeItIsClosed() {
    var stdin = StdinMachine()
    #expect(stdin.close() == [])
    #expect(stdin.shimIsReady() == [.open])
    #expect(stdin.processStarted() == [])
    #expect(stdin.opened() == [.closeDescriptor, .closeIO])
  }

  /// The init process's reader is there after Create, but CloseIO is for a process that has started.
  @Test func closeIOWaitsForTheStart() {
    var stdin = StdinMachine()
    #expect(stdin.shimIsReady() == [.open])
    #expect(stdin.opened() == [])
    #expect(stdin.close() == [.closeDescriptor])
    #expect(stdin.processStarted() == [.closeIO])
    #expect(stdin.processStarted() == [])
  }

  @Test func aCloseWaitsForTheOpening() {
    var stdin = StdinMachine()
    _ = stdin.processStarted()
    #expect(stdin.shimIsReady() == [.open])
    #expect(stdin.close() == [])
    #expect(stdin.opened() == [.closeDescriptor, .closeIO])
  }

  @Test func bytesWaitThroughTheOpening() throws {
    var stdin = StdinMachine()
    _ = stdin.processStarted()
    #expect(stdin.shimIsReady() == [.open])
    #expect(try stdin.accept(4) == [])
    #expect(stdin.close() == [])
    #expect(stdin.opened() == [.write])
    #expect(stdin.wrote(4) == [.closeDescriptor, .closeIO])
  }

  @Test func closingTwiceClosesOnce() {
    var stdin = StdinMachine()
    _ = stdin.processStarted() + stdin.shimIsReady() + stdin.opened()
    #expect(stdin.close() == [.closeDescriptor, .closeIO])
    #expect(stdin.close() == [])
  }

  @Test func afterAFailedStartContainerdIsNotAsked() throws {
    var stdin = StdinMachine()
    _ = try stdin.accept(3)
    _ = stdin.close()
    #expect(stdin.end() == [.drop])
    #expect(stdin.processStarted() == [])
    #expect(stdin.shimIsReady() == [])
  }

  @Test func theReaderGoneDropsWhatWaits() throws {
    var stdin = StdinMachine()
    _ = stdin.processStarted() + stdin.shimIsReady() + stdin.opened()
    #expect(try stdin.accept(10) == [.write])
    _ = stdin.close()
    #expect(stdin.end() == [.closeDescriptor, .drop])
    #expect(stdin.pending == 0)
    #expect(throws: StdinMachine.Refusal.broken) { try stdin.accept(1) }
  }

  @Test func nothingIsAcceptedAfterTheClose() {
    var stdin = StdinMachine()
    _ = stdin.close()
    #expect(throws: StdinMachine.Refusal.closed) { try stdin.accept(1) }
    #expect(stdin.accepted == 0)
  }

  @Test func aRepeatedWriteIsKnownAndAHoleIsRefused() throws {
    var stdin = StdinMachine()
    _ = try stdin.accept(10)
    #expect(try stdin.known(5, at: 0) == 5)
    #expect(try stdin.known(5, at: 8) == 2)
    #expect(try stdin.known(5, at: 10) == 0)
    #expect(throws: StdinMachine.Refusal.misplaced(accepted: 10)) { try stdin.known(5, at: 11) }
  }

  @Test func closingAtAnOffsetWaitsForIt() throws {
    var stdin = StdinMachine()
    _ = stdin.processStarted()
    _ = stdin.shimIsReady()
    _ = stdin.opened()
    #expect(try stdin.close(at: 8) == [])
    #expect(try stdin.accept(5) == [.write])
    #expect(throws: StdinMachine.Refusal.closed) { try stdin.accept(4) }
    #expect(throws: StdinMachine.Refusal.misplaced(accepted: 5)) { try stdin.close(at: 4) }
    #expect(try stdin.accept(3) == [.write])
    #expect(stdin.wrote(8) == [.closeDescriptor, .closeIO])
    #expect(try stdin.close(at: 8) == [])
    #expect(throws: StdinMachine.Refusal.closed) { try stdin.close(at: 9) }
  }

  @Test func theFirstOffsetStaysUntilAClosingWithoutOne() throws {
    var stdin = StdinMachine()
    _ = stdin.processStarted() + stdin.shimIsReady() + stdin.opened()
    #expect(try stdin.close(at: 8) == [])
    #expect(try stdin.close(at: 9) == [])
    #expect(try stdin.close(at: 7) == [])
    #expect(stdin.closesAt == 8)
    #expect(stdin.close() == [.closeDescriptor, .closeIO])
  }

  /// The kill came before the close that the last byte brings was written down, or long before.
  @Test(arguments: [8, 5] as [UInt64]) func anotherOneClosesAtTheOffset(accepted: UInt64) throws {
    var stdin = StdinMachine(accepted: accepted, pending: 0, closed: false, closesAt: 8)
    _ = stdin.processStarted() + stdin.shimIsReady()
    if accepted == 8 { return #expect(stdin.opened() == [.closeDescriptor, .closeIO]) }
    #expect(stdin.opened() == [])
    #expect(try stdin.accept(3) == [.write])
    #expect(stdin.wrote(3) == [.closeDescriptor, .closeIO])
  }
}
