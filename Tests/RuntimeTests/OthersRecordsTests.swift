import ContainerdAPI
import FIFOIO
import Journal
import Testing

@testable import Runtime
import TestSupport

/// Other clients' processes as an earlier worker has written them down.
@Suite(.serialized)
struct OthersRecordsTests {
  init() { EventLoop.start() }

  /// Its owner keeps a task that has ended as long as it likes, over any number of workers.
  @Test func anothersExitIsToldOnce() async throws {
    try await withOtherClient { runtime, told, other in
      _ = try await other.startTask("c")
      try await other.end("c")
      let status = try await other.status("c")
      _ = await runtime.reconcile("c", status, known: nil)
      await told.untilAnswered("closed c")
      let record = try #require(runtime.containers["c"]?.task?.record)
      runtime.containers = [:]
      try runtime.restore([record])
      _ = await runtime.reconcile("c", status, known: nil)
      #expect(told.names == ["exited c 137", "closed c"])
      let task = try #require(runtime.containers["c"]?.task)
      #expect(task.life.phase == .closed && task.life.exit?.code == 137 && !task.isUnsettled)
    }
  }

  /// One that is only created stays so, and is none of ours to clear away.
  @Test func anothersTaskThatIsNotStartedIsFollowed() async throws {
    try await withOtherClient { runtime, told, other in
      runtime.handle(.created("c", try await other.createTask("c")))
      let record = try #require(runtime.containers["c"]?.task?.record)
      runtime.containers = [:]
      try runtime.restore([record])
      _ = await runtime.reconcile("c", try await other.status("c"), known: nil)
      #expect(try await other.status("c").status == .created)
      #expect(told.names == ["created c"])
      runtime.handle(.started("c", record.pid))
      #expect(told.names == ["created c", "started c"])
    }
  }

  /// So it is where it has gone: its name is free, and nothing of ours is left there.
  @Test func anothersTaskThatWasNotStartedIsLost() async throws {
    try await withOtherClient { runtime, told, other in
      var record = ProcessRecord(container: "c", exec: "")
      (record.isOwn, record.pid, record.phase) = (false, 1, ProcessLife.Phase.added.rawValue)
      try runtime.restore([record])
      _ = await runtime.reconcile("c", nil, known: nil)
      await told.untilAnswered("deleted c")
      #expect(told.names == ["started c", "exited c lost", "closed c", "deleted c"])
      #expect(runtime.containers["c"]?.hadCutStart != true)
      #expect(runtime.containerd.calls["Tasks/Delete"] == nil)
    }
  }

  /// A container of its name can only be created where it is gone.
  @Test(arguments: [true, false]) func whatWasThereEndsBeforeTheNextOfItsName(isOwn: Bool) async throws {
    try await withOtherClient { runtime, told, other in
      var record = ProcessRecord(container: "d", exec: "")
      (record.isOwn, record.pid, record.phase) = (isOwn, 1, ProcessLife.Phase.started.rawValue)
      try runtime.restore([record])
      let created = try await runtime.create(NewContainer(bare: "d"))
      let end = ["exited d lost", "closed d", "deleted d"] + (isOwn ? ["container deleted d"] : [])
      #expect(told.names.dropLast() == end[...])
      #expect(runtime.containers["d"] === created)
      try await runtime.delete("d", force: false)
    }
  }

  /// What another client has started there since is not deleted for the one that it was.
  @Test func ourExecWhoseNameAnothersHasIsLost() async throws {
    try await withOtherClient { runtime, told, other in
      let options = ContainerRuntime.StartOptions(stdin: false, output: OutputOptions(), size: nil)
      let task = try await runtime.start("c", options) { _ in }
      try await other.startExec("c", "e")
      var exec = ProcessRecord(container: "c", exec: "e")
      (exec.phase, exec.pid) = (ProcessLife.Phase.started.rawValue, 1)
      task.letGo()
      runtime.containers = [:]
      try runtime.restore([task.record, exec])
      _ = await runtime.reconcile("c", try await other.status("c"), known: nil)
      await told.untilAnswered("closed c/e")
      #expect(told.names.contains("exited c/e lost"))
      for _ in 0..<100 { await Task.yield() }
      #expect(runtime.containerd.calls["Tasks/DeleteProcess"] == nil)
    }
  }

  /// Nobody tells of an exec that fails to start, and nothing is to be told of it.
  @Test func onlyExecsThatRunAreWrittenDown() async throws {
    let directory = try Sandbox.newDirectory("journal")
    let journal = try await openJournal(in: directory)
    try await withRuntime(journal: journal) { runtime, told in
      runtime.handle(.created("c", 1))
      runtime.handle(.started("c", 1))
      for (index, exec) in ["fails", "runs", "ends"].enumerated() {
        runtime.handle(.execAdded("c", exec))
        if exec != "fails" { runtime.handle(.execStarted("c", exec, UInt32(index + 2))) }
      }
      runtime.handle(.exited("c", "ends", 4, 0))
      try await told.until("closed c/ends")
    }
    await journal.close()
    let next = try await openJournal(in: directory)
    #expect(await Set(next.processes.map { "\($0.exec) \($0.isOwn)" }) == [" false", "runs false"])
    await next.close()
  }
}
