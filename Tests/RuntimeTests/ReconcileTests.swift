import ContainerdAPI
import FIFOIO
import Foundation
import Journal
import Logging
import SwiftProtobuf
import Testing

@testable import Runtime
import TestSupport

/// What a list of containerd's says of tasks that began or ended while it was on its way.
@Suite(.serialized)
struct ReconcileTests {
  init() { EventLoop.start() }

  /// The list has the last task of this id, which has ended.
  @Test func aListThatIsOlderThanATaskSaysNothingOfIt() async throws {
    try await withRuntime { runtime, told in
      let before = runtime.containers["c"].map(ContainerRuntime.Known.init)
      runtime.handle(.created("c", 2))
      runtime.handle(.started("c", 2))
      for pid: UInt32 in [0, 1, 2] {
        #expect(await runtime.reconcile("c", .stopped(pid), known: before) == 0)
      }
      // Nor when it was asked for in time, and containerd cannot be asked again.
      let container = try #require(runtime.containers["c"])
      #expect(await runtime.reconcile("c", .stopped(1), known: .init(container)) == 0)
      #expect(told.names == ["created c", "started c"])
      #expect(await runtime.reconcile("c", .stopped(2), known: .init(container)) == 1)
      #expect(told.names.dropFirst(2).first == "exited c 3")
    }
  }

  /// A pause that an event has told of is newer than the list.
  @Test func aListThatIsOlderThanAPauseDoesNotUndoIt() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      let container = try #require(runtime.containers["c"])
      let before = ContainerRuntime.Known(container)
      var running = CDProcess.stopped(1)
      running.status = .running
      #expect(runtime.paused("c", true))
      #expect(await runtime.reconcile("c", running, known: before) == 0)
      #expect(container.isPaused)
      #expect(await runtime.reconcile("c", running, known: .init(container)) == 0)
      #expect(!container.isPaused)
    }
  }

  /// An exec that an earlier worker was about to add goes with its task, and is none that was started.
  @Test func aCutExecThatGoesWithItsTaskWasNotStarted() async throws {
    try await withRuntime { runtime, told in
      var (task, exec) = (ProcessRecord(container: "c", exec: ""), ProcessRecord(container: "c", exec: "e"))
      (task.phase, task.pid) = (ProcessLife.Phase.started.rawValue, 1)
      exec.phase = ProcessLife.Phase.new.rawValue
      try runtime.restore([task, exec])
      let container = try #require(runtime.containers["c"])
      let process = try #require(container.task)
      runtime.removeTask(process, of: container, ExitStatus(code: nil, exitedAt: nil, source: .lost))
      #expect(told.fates == ["c/e withdrawn"])
      #expect(!told.names.contains { $0.contains("c/e") })
    }
  }

  /// The event of its deletion has not come.
  @Test func aTaskThatHasEndedIsMissedInTheList() async throws {
    try await withOtherClient { runtime, told, other in
      let pid = try await other.startTask("c")
      runtime.handle(.created("c", pid))
      runtime.handle(.started("c", pid))
      try await other.end("c")
      runtime.handle(.exited("c", "c", pid, 137))
      try await told.until("closed c")
      let container = try #require(runtime.containers["c"])
      #expect(await runtime.reconcile("c", try await other.status("c"), known: .init(container)) == 0)
      #expect(container.task != nil)
      try await other.deleteTask("c")
      #expect(await runtime.reconcile("c", nil, known: .init(container)) == 0)
      #expect(told.names.last == "deleted c")
    }
  }

  /// No event comes of what ended while it could not tell.
  @Test func aShimThatDoesNotAnswerIsAskedAgain() async throws {
    try await withOtherClient { runtime, told, other in
      let pid = try await other.startTask("c")
      runtime.handle(.created("c", pid))
      runtime.handle(.started("c", pid))
      try await other.end("c")
      let container = try #require(runtime.containers["c"])
      var unknown = CDProcess()
      (unknown.id, unknown.status) = ("c", .unknown)
      #expect(await runtime.reconcile("c", unknown, known: .init(container)) == 0)
      await told.untilAnswered("exited c 137")
    }
  }

  /// The exec of an earlier worker could not be asked for when its task was; then both were gone, or their container.
  @Test(arguments: ["c", "gone"]) func whatIsHalfSettledIsLostWhole(id: String) async throws {
    try await withOtherClient { runtime, told, other in
      var (task, exec) = (ProcessRecord(container: id, exec: ""), ProcessRecord(container: id, exec: "e"))
      (task.phase, task.pid) = (ProcessLife.Phase.started.rawValue, 1)
      (exec.phase, exec.pid) = (ProcessLife.Phase.started.rawValue, 2)
      try runtime.restore([task, exec])
      let container = try #require(runtime.containers[id])
      container.task?.isUnsettled = false
      let known = ContainerRuntime.Known(container)
      Task { @Loop in _ = await runtime.reconcile(id, nil, known: known) }
      await told.untilAnswered(id == "c" ? "deleted c" : "container deleted gone")
      #expect(told.names.contains("exited \(id) lost") && told.names.contains("exited \(id)/e lost"))
    }
  }

  @Test func whatSeveralFindGoneIsToldOnce() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      runtime.handle(.exited("c", "c", 1, 0))
      let container = try #require(runtime.containers["c"])
      let task = try #require(container.task)
      let exit = try #require(task.life.exit)
      for _ in 0..<2 { runtime.removeTask(task, of: container, exit) }
      for _ in 0..<2 { runtime.forget(container) }
      #expect(told.names.suffix(2) == ["deleted c", "container deleted c"])
    }
  }

  /// What waited for the output of the last one comes late.
  @Test func theEndOfOneLeavesAnotherOfItsNameAlone() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      let last = try #require(runtime.containers["c"])
      let task = try #require(last.task)
      let next = Container(id: "c", bundle: "/nonexistent/c", metadata: nil)
      runtime.containers["c"] = next
      runtime.removeTask(task, of: last, ExitStatus(code: 0, exitedAt: nil, source: .event))
      #expect(runtime.containers["c"] === next)
      runtime.forget(last)
      #expect(runtime.containers["c"] === next)
    }
  }
}

extension CDProcess {
  fileprivate static func stopped(_ pid: UInt32) -> CDProcess {
    var process = CDProcess()
    (process.id, process.pid, process.status, process.exitStatus) = ("c", pid, .stopped, 3)
    process.exitedAt.seconds = 1
    return process
  }
}
