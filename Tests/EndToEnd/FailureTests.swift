import Foundation
import Glibc
import Testing
import TestSupport

/// What goes wrong, and what must not be left of it.
@Suite(.serialized)
struct FailureTests {
  @Test(arguments: [
    ("/bin/nosuch", "/", 127), ("nosuch", "/", 127), ("/bin/nox", "/", 126), ("/bin", "/", 126),
    ("/bin/true", "relative", 128),
  ])
  func aStartThatFailsLeavesNothing(program: String, cwd: String, code: Int) async throws {
    let bed = try await TestBed.start()
    // A whole spec: the short form would not take a relative cwd.
    let spec: JSON = [
      "ociVersion": "1.0.2", "root": ["path": JSON(bed.rootfs)],
      "process": [
        "args": [JSON(program)], "cwd": JSON(cwd), "env": ["PATH=/bin"], "user": ["uid": 0, "gid": 0],
      ],
      "mounts": [
        ["destination": "/proc", "type": "proc", "source": "proc"],
        // runc makes /dev/ptmx, and others have the same root.
        ["destination": "/dev", "type": "tmpfs", "source": "tmpfs"],
      ],
      "linux": ["namespaces": [["type": "pid"], ["type": "mount"]]],
    ]
    try await bed.client.call("container.create", ["container": "c1", "spec": spec])
    let error = try await bed.client.error("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    #expect(error["code"] == "start_failed")
    #expect(error["exit_code"].int == code, "\(error)")
    #expect(error["stage"] == "create")
    // What comes of the streams comes before, and cannot be taken for the next start's.
    let told = bed.client.history().suffix(3).map { $0.has("error") ? "error" : $0["event"].string }
    #expect(told == ["stdio.eof", "stdio.eof", "error"])
    #expect(try await bed.client.error("process.status", ["container": "c1"])["code"] == "not_found")
    #expect(bed.containerd.shims(of: bed.worker.namespace).isEmpty)
    try await bed.client.call("container.delete", ["container": "c1"])
    try await bed.finish()
  }

  /// Part of a character, which waits for the rest of it elsewhere.
  @Test func aStartThatFailsLateDeliversWhatWasSaid() async throws {
    let bed = try await TestBed.start()
    let runc = try await WrappedRunc.failing(behind: "start")
    let args: JSON = ["sh", "-c", #"printf 'a\303'; sleep 1000"#]
    try await bed.client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(bed.rootfs), "args": args, "runtime": runc.runtime])
    let start = bed.client.post("task.start", ["container": "c1", "attach": ["window": 4096]])
    try await bed.client.text("a", of: "c1")
    try await runc.held().close()
    let error = try await bed.client.reply(to: start)["error"]
    #expect(
      error["code"] == "start_failed" && error["message"].string?.contains("cleaning up failed") == false)
    #expect(try bed.client.output("c1") == [0x61, 0xC3])
    #expect(!bed.client.history().contains { $0["event"] == "stdio.gap" })
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// containerd that was killed in the beginning of a start leaves the directory of the container's id.
  @Test func aDirectoryThatContainerdLeftIsWaitedFor() async throws {
    let bed = try await TestBed.start()
    let tasks = "\(bed.containerd.directory)/state/io.containerd.runtime.v2.task/\(bed.worker.namespace)"
    let left = "\(tasks)/c1"
    try FileManager.default.createDirectory(atPath: left, withIntermediateDirectories: true)
    try await bed.client.call(
      "container.create",
      ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["true"]])
    let start = bed.client.post("task.start", ["container": "c1"])
    // Once it was refused; a reply so early is a failure.
    while try await bed.client.call("worker.status")["rpc"]["Tasks/Create"].int ?? 0 < 2,
      !bed.client.history().contains(where: { $0["id"].string == start })
    {}
    try FileManager.default.removeItem(atPath: left)
    _ = try await bed.client.result(of: start)
    #expect(try await bed.client.event("process.closed", container: "c1")["exit_code"] == 0)
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// The journal that it had is set aside since it could not be written.
  @Test func aWorkerStartsAlsoWhereNothingCanBeKept() async throws {
    let containerd = try await PrivateContainerd.shared()
    let directory = try Sandbox.newDirectory("full")
    try #require(mount("tmpfs", directory, "tmpfs", 0, "size=8m") == 0)
    defer { umount2(directory, Int32(MNT_DETACH)) }
    let filler = open(directory + "/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    let block = [UInt8](repeating: 1, count: 4096)
    while write(filler, block, block.count) > 0 {}
    let worker = try await WorkerProcess.start(
      containerd: containerd.address, stateDirectory: directory + "/state")
    let client = try worker.connect()
    let epoch = try await client.greeting()["epoch"]
    #expect(try await client.call("worker.status")["journal"]["failure"].string != nil)
    ftruncate(filler, 0)
    close(filler)
    let container: JSON = [
      "container": "c1", "rootfs": JSON(try await RootFilesystem.busybox()), "args": ["true"],
    ]
    while try await client.call("worker.status")["journal"]["failure"].string != nil {
      try await client.call("container.create", container)
      try await client.call("container.delete", ["container": "c1"])
    }
    let status = try await client.call("worker.status")
    #expect(status["events"]["epoch"] != epoch)
    #expect(try await client.call("run", container)["exit_code"] == 0)
    client.close()
    #expect(await worker.terminate() == .exited(0))
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory + "/state").contains("journal.db"))
  }

  @Test func aRootFilesystemThatIsNotThere() async throws {
    let bed = try await TestBed.start()
    let error = try await bed.client.error("run", ["rootfs": "/no/such/rootfs", "args": ["true"]])
    #expect(error["code"] == "start_failed")
    #expect(error["exit_code"] == 128)
    #expect(try await bed.client.call("container.list")["containers"] == [])
    try await bed.finish()
  }

  @Test func anExecThatFailsLeavesNothing() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let open = bed.worker.descriptors.count
    for (args, cwd, code) in [("/bin/nosuch", "/", 127), ("/bin/nox", "/", 126), ("true", "/nowhere", 126)] {
      let error = try await bed.client.error(
        "process.exec",
        [
          "container": "c1", "process": "e1", "args": [.string(args)], "cwd": JSON(cwd), "stdin": true,
          "attach": [:],
        ])
      #expect(error["code"] == "start_failed")
      #expect(error["exit_code"].int == code, "\(error)")
      #expect(error["stage"] == "exec")
    }
    #expect(bed.worker.descriptors.count == open)
    // The id is free again.
    try await bed.client.call("process.exec", ["container": "c1", "process": "e1", "args": ["true"]])
    _ = try await bed.client.event("process.closed", container: "c1", process: "e1")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func wrongStatesAndUnknownThings() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    for command in ["container.inspect", "container.delete", "task.start", "task.delete", "process.kill"] {
      #expect(try await client.error(command, ["container": "nobody"])["code"] == "not_found", "\(command)")
    }
    try await bed.startContainer("c1", ["sleep", "1000"])
    #expect(try await client.error("task.start", ["container": "c1"])["code"] == "already_exists")
    #expect(try await client.error("stdio.write", ["container": "c1", "text": "x"])["code"] == "wrong_state")
    #expect(
      try await client.error("process.kill", ["container": "c1", "process": "e9"])["code"] == "not_found")
    #expect(
      try await client.error("process.delete", ["container": "c1", "process": "e9"])["code"] == "not_found")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func deadlinesAndCancelReachTheCommand() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"], stdin: true)
    let expired = try await bed.client.error(
      "run", ["rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]], extra: ["deadline_ms": 600])
    #expect(expired["code"] == "deadline_exceeded")
    // Its clean-up may outlast its reply.
    _ = try await bed.client.event("container.deleted")
    let run = bed.client.post(
      "run", ["container": "r1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]])
    _ = try await bed.client.event("task.started", container: "r1")
    #expect(try await bed.client.call("cancel", ["target": JSON(run)])["cancelled"] == true)
    #expect(try await bed.client.reply(to: run)["error"]["code"] == "cancelled")
    #expect(try await bed.client.call("cancel", ["target": "nothing"])["cancelled"] == false)
    _ = try await bed.client.event("container.deleted", container: "r1")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func cancelReachesAKillThatHangsButNotItself() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let shim = try #require(bed.containerd.shimPIDs(of: bed.worker.namespace, container: "c1").first)
    try await ProcessList.freeze(shim)
    let hung = bed.client.post("process.kill", ["container": "c1"])
    #expect(try await bed.client.call("cancel", ["target": JSON(hung)])["cancelled"] == true)
    let error = try await bed.client.reply(to: hung)["error"]
    #expect(error["code"] == "cancelled" && error["effect"] == "unknown")
    kill(shim, SIGCONT)
    bed.client.send(["command": "cancel", "id": "x", "arguments": ["target": "x"]])
    #expect(try await bed.client.result(of: "x")["cancelled"] == false)
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func containerdMayComeLateAndGo() async throws {
    let containerd = try await PrivateContainerd.configure()
    let worker = try await WorkerProcess.start(containerd: containerd.address)
    let client = try worker.connect()
    #expect(try await client.greeting()["containerd"]["connected"] == false)
    #expect(try await client.error("version")["code"] == "unavailable")
    #expect(try await client.error("container.list")["retry"] == "later")
    try await containerd.start()
    _ = try await client.event("containerd.connected")
    let rootfs = try await RootFilesystem.busybox()
    let create: JSON = ["container": "c1", "rootfs": JSON(rootfs), "args": ["cat"]]
    try await client.call("container.create", create)
    try await client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    await containerd.kill()
    _ = try await client.event("containerd.disconnected")
    // stdio does not stop while containerd is away.
    try await client.call("stdio.write", ["container": "c1", "text": "still here"])
    try await containerd.start()
    _ = try await client.event("containerd.connected")
    try await client.call("stdio.close", ["container": "c1"])
    let closed = try await client.event("process.closed", container: "c1")
    #expect(closed["exit_code"] == 0)
    #expect(try client.output("c1") == Array("still here".utf8))
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await worker.terminate() == .exited(0))
    await containerd.kill()
  }

  /// Killed is killed, whatever cannot be asked for then.
  @Test func aDeletionThatHasKilledDoesNotSayThatNothingWasDone() async throws {
    let containerd = try await PrivateContainerd.start()
    let worker = try await WorkerProcess.start(containerd: containerd.address)
    let client = try worker.connect()
    if try await client.greeting()["containerd"]["connected"] != true {
      _ = try await client.event("containerd.connected")
    }
    let rootfs = JSON(try await RootFilesystem.busybox())
    for id in ["c1", "c2"] {
      try await client.call(
        "container.create",
        ["container": JSON(id), "rootfs": rootfs, "args": ["sh", "-c", "echo hello; sleep 1000"]])
      try await client.call("task.start", ["container": JSON(id), "attach": ["window": 1]])
    }
    let deletions = [
      client.post("task.delete", ["container": "c1", "force": true]),
      client.post("container.delete", ["container": "c2", "force": true]),
    ]
    for id in ["c1", "c2"] { _ = try await client.event("process.exited", container: id) }
    await containerd.kill()
    _ = try await client.event("containerd.disconnected")
    // Their output was still to be taken.
    for id in ["c1", "c2"] {
      try await client.call("stdio.credit", ["container": JSON(id), "stream": "stdout", "offset": 6])
    }
    for deletion in deletions {
      let error = try await client.reply(to: deletion)["error"]
      #expect(error["code"] == "unavailable" && error["effect"] == "unknown", "\(error)")
    }
    try await containerd.start()
    _ = try await client.event("containerd.connected")
    for id in ["c1", "c2"] {
      try await client.call("container.delete", ["container": JSON(id), "force": true])
    }
    client.close()
    #expect(await worker.terminate() == .exited(0))
    await containerd.kill()
  }
}
