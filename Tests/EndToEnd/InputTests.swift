import Foundation
import Testing
import TestSupport

/// stdin that waits: for room, for a reader, or for nobody any more.
@Suite(.serialized)
struct InputTests {
  private let chunk = JSON(String(repeating: "x", count: 700_000))

  /// Who waits for room in stdin may wait for just this reader.
  @Test func aFullStdinKeepsNobodyFromTheOutputs() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["cat"]])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true])
    let writes = (0..<5).map { _ in bed.client.post("stdio.write", ["container": "c1", "text": chunk]) }
    let reader = try bed.worker.connect()
    try await reader.call("stdio.attach", ["container": "c1"])
    for write in writes { _ = try await bed.client.result(of: write) }
    try await bed.client.call("stdio.close", ["container": "c1"])
    let closed = try await reader.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 3_500_000, "end": "eof"])
    reader.close()
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// Whoever waits for a stdin to be written may be gone by then.
  @Test func nothingIsHandedToAConnectionThatHasGone() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs),
        "args": [
          "sh", "-c",
          "trap x=1 USR1; echo ready >&2; until [ $x ]; do sleep 0.01; done; cat >/dev/null; echo end",
        ],
      ])
    try await bed.client.call(
      "task.start", ["container": "c1", "stdin": true, "attach": ["streams": ["stderr"]]])
    try await bed.client.text("ready\n", of: "c1", "init", "stderr")
    for _ in 0..<2 { try await bed.client.call("stdio.write", ["container": "c1", "text": chunk]) }
    let gone = try bed.worker.connect()
    try await gone.call("hello", ["accept": ["attach.fd"]])
    gone.post("stdio.attach", ["container": "c1", "mode": "fd", "streams": ["stdin", "stdout"]])
    try await gone.call("ping")
    gone.close()
    while try await bed.client.call("worker.status")["connections"]["open"] != 1 {}
    try await bed.client.call("process.kill", ["container": "c1", "signal": "USR1"])
    // Behind it.
    let write = try await bed.client.call("stdio.write", ["container": "c1", "text": "x"])
    #expect(write["offset"] == 1_400_001)
    try await bed.client.call("stdio.attach", ["container": "c1", "streams": ["stdout"]])
    try await bed.client.call("stdio.close", ["container": "c1"])
    let closed = try await bed.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 4, "end": "eof"])
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func whatIsNotWrittenAtTheExitIsToldToBeBroken() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"], stdin: true)
    try await bed.client.call("stdio.write", ["container": "c1", "text": chunk])
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    _ = try await bed.client.event("stdin.broken", container: "c1")
    _ = try await bed.client.event("process.closed", container: "c1")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func aCancelledWriteHoldsUpNothing() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"], stdin: true)
    for _ in 0..<2 { try await bed.client.call("stdio.write", ["container": "c1", "text": chunk]) }
    let waiting = bed.client.post("stdio.write", ["container": "c1", "text": chunk])
    try await bed.client.call("ping")
    #expect(try await bed.client.call("cancel", ["target": JSON(waiting)])["cancelled"] == true)
    let error = try await bed.client.reply(to: waiting)["error"]
    #expect(error["code"] == "cancelled" && error["effect"] == "none")
    let late = try await bed.client.error(
      "stdio.write", ["container": "c1", "text": chunk], extra: ["deadline_ms": 10])
    #expect(late["code"] == "deadline_exceeded" && late["effect"] == "none")
    #expect(late["message"] == "the deadline has passed")
    // The lane is free, and nothing of them was taken.
    #expect(try await bed.client.call("stdio.close", ["container": "c1"])["offset"] == 1_400_000)
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// The close was answered: who writes what is missing need not know of it.
  @Test func aCloseAheadOutlivesTheWorker() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["cat"], stdin: true)
    try await life.client.call("stdio.write", ["container": "c1", "text": "all "])
    #expect(try await life.client.call("stdio.close", ["container": "c1", "offset": 10])["offset"] == 4)
    await life.die()
    try await life.comeAgain()
    try await life.client.call("stdio.attach", ["container": "c1"])
    try await life.client.call("stdio.write", ["container": "c1", "text": "of it\n", "offset": 4])
    let closed = try await life.client.event("process.closed", container: "c1")
    #expect(closed["stdout"] == ["bytes": 10, "end": "eof"])
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }

  /// What is accepted is kept in a file that is mapped, where a page that the disk has no room for would be a SIGBUS.
  @Test func aFullDiskRefusesWhatItCannotKeep() async throws {
    let containerd = try await PrivateContainerd.shared()
    let directory = try Sandbox.newDirectory("full")
    try #require(mount("tmpfs", directory, "tmpfs", 0, "size=8m") == 0)
    defer { umount2(directory, Int32(MNT_DETACH)) }
    let worker = try await WorkerProcess.start(
      containerd: containerd.address, stateDirectory: directory + "/state")
    let client = try worker.connect()
    try await client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(try await RootFilesystem.busybox()), "args": ["cat"]])
    try await client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    let filler = open(directory + "/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    let block = [UInt8](repeating: 1, count: 4096)
    while write(filler, block, block.count) > 0 {}
    let error = try await client.error("stdio.write", ["container": "c1", "text": "one\n"])
    #expect(error["code"] == "io" && error["effect"] == "none")
    // Not by its removal: a child that is just being forked may hold it.
    ftruncate(filler, 0)
    close(filler)
    #expect(try await client.call("stdio.write", ["container": "c1", "text": "two\n"])["offset"] == 4)
    try await client.text("two\n", of: "c1")
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await worker.terminate() == .exited(0))
  }
}
