import ContainerdAPI
import FIFOIO
import Glibc
import Journal
import Testing

@testable import Runtime
import TestSupport

/// Starts that were cut short, and another client's task that has their place.
@Suite(.serialized)
struct CutStartTests {
  init() { EventLoop.start() }

  private func record(phase: Int) -> ProcessRecord {
    var record = ProcessRecord(container: "c", exec: "")
    (record.phase, record.stdout) = (phase, "/nonexistent/init-stdout")
    return record
  }

  @Test(arguments: [ProcessRecord.undone, ProcessLife.Phase.new.rawValue], ["", "file:///dev/null"])
  func anothersTaskIsTakenOver(phase: Int, stdout: String) async throws {
    try await withOtherClient { runtime, told, other in
      let pid = try await other.startTask("c", stdout: stdout)
      try runtime.restore([record(phase: phase)])
      _ = await runtime.reconcile("c", try await other.status("c"), known: nil)
      let container = try #require(runtime.containers["c"])
      #expect(container.task?.pid == pid && container.task?.isOwn == false)
      #expect(!container.hadCutStart)
      #expect(told.fates == (phase == ProcessRecord.undone ? [] : ["c withdrawn"]))
      #expect(try await other.status("c").status == .running)
    }
  }

  /// One that is only created is no less another's.
  @Test func anothersTaskThatIsNotStartedStays() async throws {
    try await withOtherClient { runtime, told, other in
      let pid = try await other.createTask("c")
      try runtime.restore([record(phase: ProcessLife.Phase.new.rawValue)])
      _ = await runtime.reconcile("c", try await other.status("c"), known: nil)
      #expect(try await other.status("c").pid == pid)
    }
  }

  @Test func aStartLeavesAnothersTaskAlone() async throws {
    try await withOtherClient { runtime, told, other in
      let pid = try await other.startTask("c")
      try runtime.restore([record(phase: ProcessRecord.undone)])
      let error = await #expect(throws: RuntimeError.self) {
        try await runtime.start("c", .init(stdin: false, output: OutputOptions(), size: nil)) { _ in }
      }
      #expect(error?.kind == .alreadyExists)
      let now = try await other.status("c")
      #expect(now.status == .running && now.pid == pid)
    }
  }

  /// Nor does one that is cancelled while it is not known whose task has the place.
  @Test func aCancelledStartLeavesAnothersTaskAlone() async throws {
    try await withOtherClient { runtime, told, other in
      let pid = try await other.startTask("c")
      let shim = try #require(
        try await PrivateContainerd.shared().shimPIDs(of: runtime.containerd.namespace, container: "c").first)
      try await ProcessList.freeze(shim)
      defer { kill(shim, SIGCONT) }
      try runtime.restore([record(phase: ProcessRecord.undone)])
      let start = Task { @Loop in
        try await runtime.start("c", .init(stdin: false, output: OutputOptions(), size: nil)) { _ in }
      }
      while runtime.containerd.calls["Tasks/Get"] == nil { await Task.yield() }
      start.cancel()
      await #expect(throws: RuntimeError.self) { _ = try await start.value }
      #expect(runtime.containerd.calls["Tasks/Delete"] == nil)
      kill(shim, SIGCONT)
      #expect(try await other.status("c").pid == pid)
      #expect(runtime.containers["c"]?.hadCutStart == true)
    }
  }

  /// What another client has created since has the place: the cut start cannot come to anything any more.
  @Test func anothersCreationEndsIt() async throws {
    try await withRuntime { runtime, told in
      try runtime.restore([record(phase: ProcessRecord.undone)])
      runtime.handle(.created("c", 1))
      #expect(runtime.containers["c"]?.hadCutStart == false)
    }
  }
}
