import Foundation
import Glibc
import Testing
import TestSupport

/// A worker that takes the place of one that is killed, and a client that has all events from where the last one was.
struct Life {
  let bed: TestBed
  var worker: WorkerProcess
  var client: LineClient

  init(_ bed: TestBed) { (self.bed, worker, client) = (bed, bed.worker, bed.client) }

  mutating func die() async {
    worker.process.signal(SIGKILL)
    _ = await worker.process.wait()
  }

  /// The next worker, and a client that has nothing of it yet.
  mutating func startNext() async throws {
    worker = try await WorkerProcess.start(
      containerd: bed.containerd.address, socket: worker.socket, stateDirectory: worker.stateDirectory,
      namespace: worker.namespace)
    client = try worker.connect()
  }

  mutating func comeAgain() async throws {
    let last = client.history().compactMap { $0["seq"].int }.max() ?? 0
    try await startNext()
    let hello = try await client.greeting()
    try await client.call("events.subscribe", ["from": ["epoch": hello["epoch"], "seq": JSON(last)]])
    if hello["containerd"]["connected"] == true { return }
    // Not that of the last worker, which may come again.
    let begin = hello["events"]["last"].int ?? 0
    while try await client.event("containerd.connected")["seq"].int ?? 0 <= begin {}
  }

  /// Each once: what came between the connection and the subscription comes again with that.
  func events(_ name: String) -> [JSON] {
    var seen: Set<Int> = []
    return client.history().filter { $0["event"].string == name && seen.insert($0["seq"].int ?? 0).inserted }
  }

  /// All that is written down is lost, and the client begins anew.
  mutating func comeAgainWithoutJournal() async throws {
    for name in ["", "-wal"] {
      try FileManager.default.removeItem(atPath: "\(worker.stateDirectory)/journal.db\(name)")
    }
    try await startNext()
    _ = try await client.greeting()
    try await client.call("events.subscribe", ["from": "start"])
    _ = try await client.event("containerd.connected")
  }

  /// Runs a statement of SQL on what the worker that is dead has left.
  func changeJournal(_ statement: String) async throws {
    let script = """
      import sqlite3, sys
      journal = sqlite3.connect(sys.argv[1])
      with journal: journal.execute(sys.argv[2])
      """
    let changed = try await ChildProcess.run(
      "/usr/bin/python3", ["-c", script, "\(worker.stateDirectory)/journal.db", statement])
    guard changed.status == .exited(0) else { throw TestFailure(changed.output) }
  }

  func finish() async throws {
    client.close()
    #expect(await worker.terminate() == .exited(0))
    let bundles =
      (try? FileManager.default.contentsOfDirectory(atPath: worker.stateDirectory + "/bundles")) ?? []
    #expect(bundles == [])
  }
}

extension TestBed {
  /// Like `remove`, by another client.
  func removeWith(_ client: LineClient, _ id: String) async throws {
    try await client.call("container.delete", ["container": .string(id), "force": true])
  }
}
