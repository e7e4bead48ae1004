import ContainerdAPI
import FIFOIO
import Foundation
import Journal
import Logging
import SwiftProtobuf
import Testing

@testable import Runtime
import TestSupport

/// Events of containerd in any order, doubled, late and of nobody: what is told of them is always right.
@Suite(.serialized)
struct EventOrderTests {
  init() { EventLoop.start() }

  @Test func aLifeIsToldInItsOrder() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      runtime.handle(.execAdded("c", "e"))
      runtime.handle(.execStarted("c", "e", 2))
      runtime.handle(.exited("c", "e", 2, 5))
      runtime.handle(.exited("c", "c", 1, 0))
      runtime.handle(.deleted("c", 1, 0))
      try await told.until("deleted c")
      #expect(
        told.names == [
          "created c", "started c", "added c/e", "started c/e", "exited c/e 5", "closed c/e", "exited c 0",
          "closed c",
          "deleted c",
        ])
      // Nobody here has asked for this container: nothing of it stays.
      #expect(runtime.containers.isEmpty)
    }
  }

  @Test func anExitBeforeTheStartIsToldAfterIt() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.exited("c", "c", 1, 3))
      runtime.handle(.started("c", 1))
      #expect(told.names == ["created c", "started c", "exited c 3", "closed c"])
    }
  }

  @Test func doubledEventsAreToldOnce() async throws {
    try await withRuntime { runtime, told in
      for _ in 0..<2 { runtime.handle(.created("c", 1)) }
      for _ in 0..<2 { runtime.handle(.started("c", 1)) }
      // The shim and containerd, each with a time of its own (moby#46212).
      runtime.handle(.exited("c", "c", 1, 0))
      runtime.handle(.exited("c", "c", 1, 255))
      #expect(told.names == ["created c", "started c", "exited c 0", "closed c"])
      #expect(runtime.eventsIgnored == 3)
    }
  }

  /// containerd tells of an exec after its start was taken back.
  @Test func whatWasWithdrawnIsNoNewsOfAnotherClient() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      let container = try #require(runtime.containers["c"])
      for (exec, fate) in [("undone", nil), ("cut", Fate.unknown)] {
        let process = ContainerProcess(container: "c", exec: exec, foreign: nil, host: runtime)
        container.execs[exec] = process
        runtime.withdraw(process, in: container, leaving: fate)
        runtime.handle(.execAdded("c", exec))
        // It has been cleared away before containerd came to tell of it.
        container.cutExecs.remove(exec)
        runtime.handle(.execStarted("c", exec, 7))
      }
      #expect(told.names == ["created c", "started c"])
      // Nor is its end that of the next one of its name, whose pid is still to come.
      let next = ContainerProcess(container: "c", exec: "cut", foreign: nil, host: runtime)
      container.execs["cut"] = next
      runtime.handle(.exited("c", "cut", 7, 137))
      #expect(next.life.exit == nil)
      runtime.handle(.exited("c", "cut", 8, 0))
      #expect(next.life.exit != nil)
    }
  }

  @Test func anExecMayEndAfterItsContainer() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      runtime.handle(.execStarted("c", "e", 2))
      runtime.handle(.exited("c", "c", 1, 0))
      runtime.handle(.exited("c", "e", 2, 9))
      #expect(told.names.suffix(4) == ["exited c 0", "closed c", "exited c/e 9", "closed c/e"])
    }
  }

  @Test func anExecIsLostWithItsShim() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      runtime.handle(.execStarted("c", "e", 2))
      runtime.handle(.exited("c", "c", 1, 137))
      runtime.handle(.deleted("c", 1, 137))
      try await told.until("deleted c")
      #expect(told.names.count { $0.hasPrefix("exited c/e") } == 1)
      #expect(told.names.contains("exited c/e lost"))
      #expect(told.names.contains("exited c 137"))
    }
  }

  @Test func anEarlierGenerationEndsNobody() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      runtime.handle(.deleted("c", 1, 0))
      try await told.until("deleted c")
      let before = told.names.count
      // Late news of it: shims try again for 15 s.
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      #expect(told.names.count == before)
      runtime.handle(.created("c", 2))
      runtime.handle(.started("c", 2))
      runtime.handle(.exited("c", "c", 1, 7))
      runtime.handle(.deleted("c", 1, 7))
      #expect(told.names.suffix(2) == ["created c", "started c"])
      #expect(runtime.containers["c"]?.task?.isRunning == true)
    }
  }

  /// Of its deletion containerd may never tell: its shim has gone while containerd was away.
  @Test(arguments: [true, false]) func aTaskThatHasEndedMakesRoomForTheNext(isCreationSeen: Bool) async throws
  {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      runtime.handle(.exited("c", "c", 1, 0))
      if isCreationSeen { runtime.handle(.created("c", 2)) }
      runtime.handle(.started("c", 2))
      #expect(told.names.dropFirst(3) == ["closed c", "deleted c", "created c", "started c"])
      #expect(runtime.containers["c"]?.task?.pid == 2)
    }
  }

  /// Of its deletion by its owner containerd never tells.
  @Test func anothersExecMayHaveTheNameOfItsLastOne() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      for pid: UInt32 in 2...4 {
        runtime.handle(.execAdded("c", "e"))
        runtime.handle(.execStarted("c", "e", pid))
        // Late ones of the last.
        runtime.handle(.execStarted("c", "e", pid - 1))
        runtime.handle(.exited("c", "e", pid, pid))
      }
      #expect(
        told.names.dropFirst(2)
          == (2...4).flatMap { ["added c/e", "started c/e", "exited c/e \($0)", "closed c/e"] }[...])
    }
  }

  /// A shim that an earlier worker's task leaves is ended, but not the next task's.
  @Test(arguments: [true, false]) func theNextTasksShimIsNotTakenForAForgottenOne(hasNext: Bool) async throws
  {
    try await withRuntime { runtime, told in
      var task = ProcessRecord(container: "c", exec: "")
      (task.phase, task.pid) = (ProcessLife.Phase.started.rawValue, 1)
      try runtime.restore([task])
      runtime.handle(.deleted("c", 1, 0))
      if hasNext { runtime.handle(.created("c", 2)) }
      for _ in 0..<100 { await Task.yield() }
      #expect(runtime.containerd.calls["Tasks/Delete"] == (hasNext ? nil : 1))
    }
  }

  @Test func whatNobodyKnowsIsIgnored() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.exited("c", "c", 1, 0))
      runtime.handle(.deleted("c", 1, 0))
      var garbage = CDEnvelope.exited("c", "c", 1, 0)
      garbage.event.value = Data([0xFF, 0xFF])
      runtime.handle(garbage)
      garbage.event = Google_Protobuf_Any()
      runtime.handle(garbage)
      garbage.topic = "/tasks/something-new"
      runtime.handle(garbage)
      #expect(told.names.isEmpty)
      #expect(runtime.eventsIgnored == 5)
    }
  }

  /// A seed a round: shuffled, doubled and dropped events of a life with two execs.
  @Test func whateverComesEachIsToldOnceAndInOrder() async throws {
    for seed in 1...300 as ClosedRange<UInt64> {
      var random = Random(state: seed)
      try await withRuntime { runtime, told in
        var events: [CDEnvelope] = [
          .created("c", 1), .started("c", 1), .exited("c", "c", 1, 0), .deleted("c", 1, 0),
        ]
        for (exec, pid) in [("e", 2), ("f", 3)] as [(String, UInt32)] {
          events += [.execAdded("c", exec), .execStarted("c", exec, pid), .exited("c", exec, pid, 1)]
        }
        events += events
        events.shuffle(using: &random)
        for event in events.dropLast(Int(random.next() % 4)) { runtime.handle(event) }
        for _ in 0..<20 { await Task.yield() }
        for process in ["c", "c/e", "c/f"] {
          let steps = told.names.filter { $0.split(separator: " ")[1] == process }
            .map { String($0.split(separator: " ")[0]) }
          let order = ["created", "added", "started", "exited", "closed", "deleted"]
          let places = steps.compactMap { order.firstIndex(of: $0) }
          #expect(zip(places, places.dropFirst()).allSatisfy { $0 < $1 }, "seed \(seed): \(told.names)")
        }
      }
    }
  }

  // MARK: -
}

private struct Random: RandomNumberGenerator {
  var state: UInt64
  /// splitmix64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
