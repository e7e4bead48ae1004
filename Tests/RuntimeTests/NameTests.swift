import FIFOIO
import Foundation
import Testing

@testable import Runtime
import TestSupport

/// Names, which are taken until containerd is done with what had them before.
@Suite(.serialized)
struct NameTests {
  init() { EventLoop.start() }

  private let options = ContainerRuntime.StartOptions(stdin: false, output: OutputOptions(), size: nil)

  /// Of two that come to their ends one after the other, the second would take what the next task has by then.
  @Test func aTaskIsDeletedByOneCallAtATimeAndBeforeTheNext() async throws {
    try await withOtherClient { runtime, told, other in
      _ = try await runtime.load("c")
      _ = try await other.startTask("c")
      try await other.end("c")
      let shim = try #require(
        try await PrivateContainerd.shared().shimPIDs(of: runtime.containerd.namespace, container: "c").first)
      try await ProcessList.freeze(shim)
      defer { kill(shim, SIGCONT) }
      let deletions = (0..<2).map { _ in Task { @Loop in await runtime.endForgottenShim(of: "c") } }
      try await until("a deletion is under way") { runtime.containerd.calls["Tasks/Delete"] != nil }
      let start = Task { @Loop in try await runtime.start("c", options) { _ in } }
      try await until("a start is under way") { runtime.containers["c"]?.task != nil }
      kill(shim, SIGCONT)
      for deletion in deletions { await deletion.value }
      _ = try await start.value
      #expect(runtime.containerd.calls["Tasks/Delete"] == 1)
      // The other client's, and one of the start's.
      #expect(runtime.containerd.calls["Tasks/Create"] == 2)
    }
  }

  /// As it is where what is left of a killed client's deletion takes the directory away.
  @Test func aStartTriesAgainWithoutItsDirectory() async throws {
    try await withOtherClient { runtime, told, other in
      let directory = try Sandbox.newDirectory("shim")
      let (shim, shell) = (directory + "/containerd-shim-test-v1", directory + "/sh")
      // Without its interpreter the kernel says of it what it says of a missing directory.
      try "#!\(shell)\nexec containerd-shim-runc-v2 \"$@\"\n".write(
        toFile: directory + "/text", atomically: true, encoding: .utf8)
      #expect(
        try await ChildProcess.run("/usr/bin/install", ["-m", "755", directory + "/text", shim]).status
          == .exited(0))
      try await other.createContainer("d", shim: shim)
      let start = Task { @Loop in try await runtime.start("d", options) { _ in } }
      try await until("a start is under way") { runtime.containers["d"]?.task != nil }
      try await until("it was tried again, or not") {
        runtime.containerd.calls["Tasks/Create"] == 2 || runtime.containers["d"]?.task == nil
      }
      try FileManager.default.createSymbolicLink(atPath: shell, withDestinationPath: "/bin/sh")
      _ = try await start.value
      try await other.remove("d")
    }
  }

  /// Who reads of the end of an earlier worker's container may use its name at once.
  @Test func aCreationWaitsForARemoval() async throws {
    try await whileRemoving("d") { runtime, gate in
      let creation = Task { @Loop in try await runtime.create(new) }
      for _ in 0..<100 { await Task.yield() }
      // The other client's.
      #expect(runtime.containerd.calls["Containers/Create"] == 1)
      gate.resume()
      _ = try await creation.value
      try await runtime.delete("d", force: false)
    }
  }

  @Test func aCreationThatIsCancelledBeforeThatHasDoneNothing() async throws {
    try await whileRemoving("d") { runtime, gate in
      let creation = Task { @Loop in try await runtime.create(new) }
      for _ in 0..<100 { await Task.yield() }
      creation.cancel()
      gate.resume()
      let error = await #expect(throws: RuntimeError.self) { _ = try await creation.value }
      #expect(error?.kind == .withdrawn)
    }
  }

  private let new = NewContainer(bare: "d")

  /// - Parameter body: opens the gate, behind which the removal comes to its end.
  private func whileRemoving(
    _ id: String, _ body: @Loop (ContainerRuntime, Waiter) async throws -> Void
  ) async throws {
    try await withOtherClient { runtime, told, other in
      let gate = Waiter()
      let removal = Task { @Loop in
        try await runtime.removing(id) { () async throws(RuntimeError) in await gate.wait() }
      }
      try await until("a removal is under way") { runtime.removals[id] != nil }
      try await body(runtime, gate)
      try await removal.value
    }
  }
}
