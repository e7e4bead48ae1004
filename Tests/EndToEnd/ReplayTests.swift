import Foundation
import Glibc
import Testing
import TestSupport

/// Lifecycle events that outlive connections and workers.
@Suite(.serialized)
struct ReplayTests {
  private func sequences(_ client: LineClient) -> [Int] { client.history().compactMap { $0["seq"].int } }

  /// Another worker in the place of one that is gone.
  private func successor(of worker: WorkerProcess, _ bed: TestBed, options: [String] = []) async throws
    -> WorkerProcess
  {
    try await WorkerProcess.start(
      containerd: bed.containerd.address, options: options, socket: worker.socket,
      stateDirectory: worker.stateDirectory, namespace: worker.namespace)
  }

  @Test func eventsComeAgainFromACursorWithoutAHole() async throws {
    let bed = try await TestBed.start()
    let epoch = try await bed.client.call("worker.status")["events"]["epoch"]
    _ = try await bed.run("c1", ["true"])
    _ = try await bed.client.event("container.deleted", container: "c1")
    let first = bed.client.history().filter { $0.has("seq") }
    let middle = try #require(first[first.count / 2]["seq"].int)
    let other = try bed.worker.connect()
    let result = try await other.call(
      "events.subscribe", ["from": ["epoch": epoch, "seq": JSON(middle)]])
    #expect(result["cursor"]["seq"].int == middle)
    _ = try await bed.run("c2", ["true"])
    _ = try await other.event("container.deleted", container: "c2")
    let again = other.history().filter { $0.has("seq") }
    #expect(
      again.prefix(first.count - first.count / 2 - 1) == first.suffix(first.count - first.count / 2 - 1))
    let numbers = again.compactMap { $0["seq"].int }
    #expect(numbers == Array((middle + 1)...(numbers.last ?? 0)))
    other.close()
    try await bed.finish()
  }

  /// Replay runs into events that come all the while.
  @Test func replayMeetsLiveEventsWithoutAHole() async throws {
    let bed = try await TestBed.start()
    for round in 0..<40 {
      try await bed.client.call(
        "container.create", ["container": JSON("c\(round)"), "rootfs": JSON(bed.rootfs), "args": ["true"]])
    }
    let others = try (0..<8).map { _ in try bed.worker.connect() }
    let subscriptions = others.map { ($0, $0.post("events.subscribe", ["from": "start"])) }
    for round in 0..<40 { bed.client.post("container.delete", ["container": JSON("c\(round)")]) }
    for (other, subscription) in subscriptions {
      _ = try await other.result(of: subscription)
      // The first that came may have come before it.
      while !sequences(other).contains(1) { try await other.call("ping") }
      for round in 0..<40 { _ = try await other.event("container.deleted", container: "c\(round)") }
      // From its greeting on, and then once more from the start.
      let numbers = sequences(other)
      let start = try #require(numbers.firstIndex(of: 1))
      #expect(Array(numbers[start...]) == Array(1...(numbers.last ?? 0)))
      other.close()
    }
    try await bed.finish()
  }

  @Test func numberingGoesOnOverAKilledWorker() async throws {
    let bed = try await TestBed.start()
    _ = try await bed.run("c1", ["true"])
    let last = try #require(sequences(bed.client).last)
    let before = try await bed.client.call("worker.status")["events"]
    bed.worker.process.signal(SIGKILL)
    _ = await bed.worker.process.wait()
    let second = try await successor(of: bed.worker, bed)
    let client = try second.connect()
    let greeting = try await client.greeting()
    #expect(greeting["epoch"] == before["epoch"])
    #expect(greeting["events"]["first"] == 1)
    try await client.call("events.subscribe", ["from": ["epoch": before["epoch"], "seq": JSON(last)]])
    _ = try await client.event("containerd.connected")
    #expect(sequences(client).first { $0 > last } == last + 1)
    client.close()
    _ = await second.terminate()
  }

  @Test func whatCannotBeHadAnyMoreIsRefused() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    _ = try await bed.run("c1", ["true"])
    let events = try await client.call("worker.status")["events"]
    let last = try #require(events["last"].int)
    for place: JSON in [
      ["epoch": "another", "seq": 1], ["epoch": events["epoch"], "seq": JSON(last + 1000)],
    ] {
      let error = try await client.error("events.subscribe", ["from": place])
      #expect(error["code"] == "cursor_expired")
      #expect(error["retry"] == "resync")
    }
    let kept = try await client.call("events.ack", ["seq": JSON(last - 1)])
    #expect(kept["first"].int == last)
    #expect(
      try await client.error(
        "events.subscribe", ["from": ["epoch": events["epoch"], "seq": JSON(last - 3)]])["code"]
        == "cursor_expired")
    let other = try bed.worker.connect()
    #expect(try await other.greeting()["events"]["first"].int == last)
    other.close()
    try await bed.finish()
  }

  @Test func aFilterChooses() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    let snapshot = try await client.call(
      "events.subscribe", ["from": "now", "filter": ["events": ["process.exited"], "containers": ["c2"]]])
    #expect(snapshot["snapshot"]["complete"] == true)
    for id in ["c1", "c2"] {
      try await client.call("run", ["container": JSON(id), "rootfs": JSON(bed.rootfs), "args": ["true"]])
    }
    let told = client.history().filter { $0.has("seq") && $0.has("container") }
    #expect(told.map { $0["event"].string } == ["process.exited"])
    #expect(told.first?["container"] == "c2")
    try await bed.finish()
  }

  @Test func theSnapshotTellsWhatThereIs() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    try await bed.client.call(
      "container.create", ["container": "c2", "rootfs": JSON(bed.rootfs), "args": ["true"]])
    let snapshot = try await bed.client.call("events.subscribe", ["from": "now"])["snapshot"]
    let containers = snapshot["containers"].array ?? []
    #expect(containers.map { $0["container"].string } == ["c1", "c2"])
    #expect(containers.first?["task"]["status"] == "running")
    #expect(containers.last?["task"].isNull == true)
    try await bed.remove("c1")
    try await bed.remove("c2")
    try await bed.finish()
  }

  // MARK: - The state directory

  @Test func aSecondWorkerOnAStateDirectoryRefuses() async throws {
    let bed = try await TestBed.start()
    let program = try ChildProcess(
      try WorkerProcess.binary(),
      [
        "--listen", bed.worker.socket + "2", "--containerd-address", bed.containerd.address, "--state-dir",
        bed.worker.stateDirectory, "--namespace", bed.worker.namespace,
      ])
    #expect(await program.wait() == .exited(1))
    #expect(try await bed.client.call("ping") == [:])
    try await bed.finish()
  }

  /// Neither is ever overwritten, and neither keeps a worker from its work.
  @Test(arguments: [true, false])
  func aBrokenOrForeignJournalIsSetAside(broken: Bool) async throws {
    let bed = try await TestBed.start()
    _ = try await bed.run("c1", ["true"])
    let epoch = try await bed.client.call("worker.status")["events"]["epoch"]
    bed.client.close()
    #expect(await bed.worker.terminate() == .exited(0))
    let path = bed.worker.stateDirectory + "/journal.db"
    if broken {
      let file = try #require(FileHandle(forUpdatingAtPath: path))
      try file.seek(toOffset: 4000)
      try file.write(contentsOf: Data(repeating: 0xA5, count: 9000))
      try file.close()
    } else {
      try Data("a letter to a friend".utf8).write(to: URL(fileURLWithPath: path))
    }
    let was = try Data(contentsOf: URL(fileURLWithPath: path))
    let second = try await successor(of: bed.worker, bed)
    let client = try second.connect()
    #expect(try await client.greeting()["epoch"] != epoch)
    let aside = try FileManager.default.contentsOfDirectory(atPath: bed.worker.stateDirectory).filter {
      $0.hasPrefix("journal.db.broken-") && !$0.hasSuffix("-wal")
    }
    #expect(aside.count == 1)
    #expect(
      try aside.first.map { try Data(contentsOf: URL(fileURLWithPath: bed.worker.stateDirectory + "/" + $0)) }
        == was)
    #expect(second.log.contains("the journal is begun anew"))
    client.close()
    #expect(await second.terminate() == .exited(0))
  }

  /// A place to go on from is told once it is written: the next worker would give its number to another event.
  @Test func noPlaceIsToldThatAKillTakesBack() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let exec: JSON = ["container": "c1", "process": "e1", "args": ["sleep", "1000"]]
    let pid = try await bed.client.call("process.exec", exec)["pid"].int
    // These have no events that wait for the journal, and with them everything behind.
    let (watch, asker) = (try bed.worker.connect(), try bed.worker.connect())
    for client in [watch, asker] {
      try await client.call("events.subscribe", ["filter": ["containers": ["c2"], "events": ["task.oom"]]])
    }
    let status = try await watch.call("worker.status")
    let accepted = status["connections"]["accepted"].int
    let listed = status["rpc"]["Containers/ListStream"].int
    let last = try #require(status["events"]["last"].int)
    let journal = try await StoppedThread.of(bed.worker.process, named: "journal")
    kill(try #require(pid.map(pid_t.init)), SIGTERM)
    while try await watch.call("worker.status")["journal"]["waiting"] == 0 {}
    let newcomer = try bed.worker.connect()
    asker.post("events.subscribe", ["from": "now"])
    var told: Int?
    while true {
      let status = try await watch.call("worker.status")
      told = status["events"]["last"].int
      let isListed = status["rpc"]["Containers/ListStream"].int != listed && status["queue"]["commands"] == 0
      if isListed, status["connections"]["accepted"].int != accepted { break }
    }
    #expect(told == last)
    bed.worker.process.signal(SIGKILL)
    await journal.release()
    _ = await bed.worker.process.wait()
    for client in [newcomer, asker] { try await client.ended() }
    #expect(newcomer.history() == [])
    let places = asker.history().compactMap { $0["result"]["snapshot"]["seq"].int }
    #expect(places.count == 1 && places.allSatisfy { $0 <= last })

    let second = try await successor(of: bed.worker, bed)
    let client = try second.connect()
    let epoch = try await client.greeting()["epoch"]
    try await client.call("events.subscribe", ["from": ["epoch": epoch, "seq": JSON(last)]])
    _ = try await client.event("process.exited", container: "c1", process: "e1")
    try await bed.removeWith(client, "c1")
    client.close()
    #expect(await second.terminate() == .exited(0))
  }
}
