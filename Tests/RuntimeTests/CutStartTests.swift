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

  private let options = ContainerRuntime.StartOptions(stdin: false, output: OutputOptions(), size: nil)

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
        try await runtime.start("c", options) { _ in }
      }
      #expect(error?.kind == .alreadyExists)
      let now = try await other.status("c")
      #expect(now.status == .running && now.pid == pid)
    }
  }

  /// So does the deletion of the container, which clears away what is ours.
  @Test func aDeletionLeavesAnothersTaskAlone() async throws {
    try await withOtherClient { runtime, told, other in
      let pid = try await other.startTask("c")
      try runtime.restore([record(phase: ProcessRecord.undone)])
      let error = await #expect(throws: RuntimeError.self) { try await runtime.delete("c", force: false) }
      #expect(error?.kind == .wrongState)
      let now = try await other.status("c")
      #expect(now.status == .running && now.pid == pid)
    }
  }

  @Test func aDeletionTakesWhatACutStartLeftAlong() async throws {
    try await withOtherClient { runtime, told, other in
      let task = try await runtime.start("c", options) { _ in }
      task.letGo()
      runtime.containers = [:]
      try runtime.restore([task.undone])
      try await runtime.delete("c", force: false)
      await #expect(throws: RuntimeError.self) { _ = try await other.status("c") }
      try await other.createContainer("c")
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
        try await runtime.start("c", options) { _ in }
      }
      try await until("it is looked for") { runtime.containerd.calls["Tasks/Get"] != nil }
      start.cancel()
      await #expect(throws: RuntimeError.self) { _ = try await start.value }
      #expect(runtime.containerd.calls["Tasks/Delete"] == nil)
      kill(shim, SIGCONT)
      #expect(try await other.status("c").pid == pid)
      #expect(runtime.containers["c"]?.hadCutStart == true)
    }
  }

  /// It may run. The list says all of its task, and nothing of it.
  @Test(arguments: [true, false]) func theLastWorkersCutExecGoes(isOurs: Bool) async throws {
    try await withOtherClient { runtime, told, other in
      let task = try await runtime.start("c", options) { _ in }
      let exec = try await runtime.exec(
        "c", exec: isOurs ? "e" : "other", spec: Array(OtherClient.process.utf8), terminal: false, options
      ) { _ in }
      if !isOurs { try await other.startExec("c", "e") }
      var cut = exec.undone
      cut.exec = "e"
      for process in [task, exec] { process.letGo() }
      let records = [task.record, cut]
      runtime.containers = [:]
      try runtime.restore(records)
      _ = await runtime.reconcile("c", try await other.status("c"), known: nil)
      #expect(try await runtime.get("c", exec: "e")?.status == (isOurs ? nil : .running))
      #expect(runtime.containers["c"]?.cutExecs == [])
    }
  }

  /// As one is made when the last one cannot be written any more.
  @Test func aNewJournalIsToldOfCutStarts() async throws {
    let directory = try Sandbox.newDirectory("journal")
    let journal = try await openJournal(in: directory)
    try await withRuntime(journal: journal) { runtime, told in
      var exec = ProcessRecord(container: "c", exec: "e")
      exec.phase = ProcessRecord.undone
      try runtime.restore([record(phase: ProcessRecord.undone), exec])
      runtime.saveAll()
    }
    await journal.close()
    let next = try await openJournal(in: directory)
    #expect(await Set(next.processes.map { "\($0.exec) \($0.phase)" }) == [" -1", "e -1"])
    await next.close()
  }

  @Test func aCutExecIsWrittenDownUntilItsTaskGoes() async throws {
    let directory = try Sandbox.newDirectory("journal")
    for phase in [ProcessRecord.undone, nil] {
      let journal = try await openJournal(in: directory)
      let known = await journal.processes
      try await withRuntime(journal: journal) { runtime, told in
        try runtime.restore(known)
        if phase == nil {
          runtime.handle(.deleted("c", 1, 0))
          try await told.until("deleted c")
        } else {
          runtime.handle(.created("c", 1))
          let container = try #require(runtime.containers["c"])
          let exec = try ContainerProcess(ProcessRecord(container: "c", exec: "e"), host: runtime)
          runtime.withdraw(exec, in: container, leaving: .unknown)
        }
      }
      await journal.close()
      let next = try await openJournal(in: directory)
      #expect(await next.processes.filter { !$0.exec.isEmpty }.map(\.phase) == [phase].compactMap { $0 })
      await next.close()
    }
  }

  @Test func anExecWaitsForTheEndOfACutOne() async throws {
    try await withRuntime { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      let container = try #require(runtime.containers["c"])
      container.metadata = ContainerMetadata(
        spec: [], facts: SpecFacts(), shim: ShimChoice(name: "", options: nil))
      container.cutExecs = ["e"]
      let error = await #expect(throws: RuntimeError.self) {
        try await runtime.exec("c", exec: "e", spec: [], terminal: false, options) { _ in }
      }
      #expect(error?.kind == .unreachable)
      #expect(container.cutExecs == ["e"])
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
