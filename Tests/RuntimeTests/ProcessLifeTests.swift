import Testing

@testable import Runtime

/// The order of a process's life, whatever order the news come in.
struct ProcessLifeTests {
  private let exit = ExitStatus(code: 3, exitedAt: nil, source: .event)
  private let other = ExitStatus(code: nil, exitedAt: nil, source: .lost)

  @Test func theUsualOrder() {
    var life = ProcessLife()
    #expect(life.added() == [.added])
    #expect(life.started() == [.started])
    #expect(life.announce() == [])
    #expect(life.exited(exit) == [.exited(exit)])
    #expect(life.outputEnded() == [.closed(exit)])
    #expect(life.phase == .closed)
  }

  @Test func anExitBeforeTheStartIsHeldBack() {
    var life = ProcessLife()
    _ = life.added()
    #expect(life.exited(exit) == [])
    #expect(life.outputEnded() == [])
    #expect(life.started() == [.started])
    #expect(life.announce() == [.exited(exit), .closed(exit)])
  }

  @Test func anExitBeforeTheReplyIsHeldBack() {
    var life = ProcessLife()
    #expect(life.started() == [.added, .started])
    #expect(life.exited(exit) == [])
    #expect(life.announce() == [.exited(exit)])
  }

  @Test func theFirstExitCounts() {
    var life = ProcessLife()
    _ = life.started() + life.announce()
    #expect(life.exited(exit) == [.exited(exit)])
    #expect(life.exited(other) == [])
    #expect(life.exit == exit)
  }

  @Test func nothingIsToldTwice() {
    var life = ProcessLife()
    _ = life.started() + life.announce() + life.exited(exit) + life.outputEnded()
    #expect(life.added() + life.started() + life.announce() + life.exited(exit) + life.outputEnded() == [])
  }

  @Test func outputMayEndLongBeforeTheExit() {
    var life = ProcessLife()
    _ = life.started() + life.announce()
    #expect(life.outputEnded() == [])
    #expect(life.exited(exit) == [.exited(exit), .closed(exit)])
  }
}
