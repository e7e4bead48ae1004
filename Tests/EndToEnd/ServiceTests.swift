import Foundation
import Glibc
import Testing
import TestSupport

/// A worker that is stopped and started again by a service manager: what clients notice of it.
@Suite(.serialized)
struct ServiceTests {
  // MARK: - Stop

  @Test func whatIsInFlightAtSIGTERMFinishesAndWhatIsNewIsRefused() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    let quiet = try bed.worker.connect()
    let run = client.post(
      "run", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"], "attach": [:]])
    _ = try await client.event("task.started", container: "c1")
    bed.worker.process.signal(SIGTERM)
    _ = try await client.event("worker.draining")
    // Once more does no harm.
    for signal in [SIGTERM, SIGINT, SIGTERM] { bed.worker.process.signal(signal) }
    #expect(try await client.error("container.list")["code"] == "shutting_down")
    #expect(try await client.error("container.delete", ["container": "c1"])["retry"] == "same")
    // Out of band still works, and lets the command end of its own.
    try await client.call("process.kill", ["container": "c1", "signal": "KILL"])
    #expect(try await client.result(of: run)["exit_code"] == 137)
    for client in [client, quiet] { try await client.ended() }
    #expect(client.history().count { $0["event"] == "worker.draining" } == 1)
    #expect(quiet.history().contains { $0["event"] == "process.closed" && $0["container"] == "c1" })
    #expect(await bed.worker.process.wait(seconds: 20) == .exited(0))
    #expect(try await bed.containerd.remainingShims(of: bed.worker.namespace) == [])
  }

  /// Nor is the call cut that a client did not wait for.
  @Test func whatAClientLeftBehindFinishesAtSIGTERM() async throws {
    let bed = try await TestBed.start()
    let runc = try await WrappedRunc.holdingDeletion()
    try await bed.client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "args": ["true"],
        "runtime": runc.runtime,
      ])
    try await bed.client.call("task.start", ["container": "c1"])
    _ = try await bed.client.event("process.closed", container: "c1")
    let other = try bed.worker.connect()
    other.post("task.delete", ["container": "c1"])
    let gate = try await runc.heldDeletion()
    other.close()
    bed.worker.process.signal(SIGTERM)
    _ = try await bed.client.event("worker.draining")
    // Time in which it would be gone.
    try await Task.sleep(for: .milliseconds(200))
    try await bed.client.call("ping")
    gate.close()
    _ = try await bed.client.event("task.deleted", container: "c1")
    #expect(await bed.worker.process.wait(seconds: 20) == .exited(0))
  }

  @Test func whatDoesNotEndIsStoppedAndGetsItsReply() async throws {
    let bed = try await TestBed.start()
    let client = bed.client
    try await bed.startContainer("hung", ["sleep", "1000"])
    let run = client.post(
      "run", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]])
    _ = try await client.event("task.started", container: "c1")
    let shim = try #require(bed.containerd.shimPIDs(of: bed.worker.namespace, container: "hung").first)
    try await ProcessList.freeze(shim)
    let kill = client.post("process.kill", ["container": "hung", "signal": "KILL"])
    try await client.call("ping")
    bed.worker.process.signal(SIGTERM)
    let stopped = try await client.reply(to: run)["error"]
    #expect(stopped["code"] == "shutting_down")
    #expect(stopped["effect"] == "done")
    // It was on its way to containerd.
    let unsure = try await client.reply(to: kill)["error"]
    #expect(unsure["code"] == "shutting_down")
    #expect(unsure["effect"] == "unknown")
    try await client.ended()
    #expect(await bed.worker.process.wait(seconds: 20) == .exited(0))
    #expect(client.history().contains { $0["event"] == "container.deleted" && $0["container"] == "c1" })
    // Its container stays; the sandbox's end is its end.
    Glibc.kill(shim, SIGCONT)
  }

  @Test func itTakesAllDescriptorsThatItMayHave() async throws {
    let host = try ServiceHost()
    let worker = try host.start(
      containerd: try await PrivateContainerd.shared().address,
      through: ["/usr/bin/prlimit", "--nofile=512:3000"])
    try await host.notices.next("READY=1")
    let limits = try String(contentsOfFile: "/proc/\(worker.process.pid)/limits", encoding: .utf8)
    let files = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max open files") })
    #expect(files.split(separator: " ").dropFirst(3).prefix(2) == ["3000", "3000"])
    #expect(await worker.terminate() == .exited(0))
  }

  /// A worker that may have fewer descriptors than the one before it gives up itself, and no stream.
  @Test func withoutDescriptorsForAllThatRunsItRefusesToStart() async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost()
    let first = try host.start(containerd: containerd.address)
    try await host.notices.next("READY=1")
    let client = try first.connect()
    let rootfs = JSON(try await RootFilesystem.busybox())
    for number in 1...8 {
      try await client.call(
        "container.create",
        ["container": "c\(number)", "rootfs": rootfs, "args": ["sh", "-c", "echo hello; cat"]])
      try await client.call("task.start", ["container": "c\(number)", "stdin": true])
    }
    first.process.signal(SIGKILL)
    _ = await first.process.wait(seconds: 20)
    let poor = try host.start(
      containerd: containerd.address, through: ["/usr/bin/prlimit", "--nofile=80:80"])
    #expect(await poor.process.wait(seconds: 20) == .exited(1))
    #expect(poor.log.contains("cannot take over what runs"))
    #expect(poor.log.contains("Too many open files"))

    let second = try host.start(containerd: containerd.address)
    try await host.notices.next("READY=1")
    let next = try second.connect()
    for number in 1...8 {
      try await next.call("stdio.attach", ["container": "c\(number)", "streams": ["stdin", "stdout"]])
      try await next.call("stdio.close", ["container": "c\(number)"])
      let closed = try await next.event("process.closed", container: "c\(number)")
      #expect(closed["stdout"] == ["bytes": 6, "end": "eof"])
      try await next.call("container.delete", ["container": "c\(number)", "force": true])
    }
    #expect(await second.terminate() == .exited(0))
  }

  /// Processes do not take the last ones, so that somebody can still come and end some.
  @Test func withoutDescriptorsForAProcessAllElseGoesOn() async throws {
    let host = try ServiceHost()
    let worker = try host.start(
      containerd: try await PrivateContainerd.shared().address,
      through: ["/usr/bin/prlimit", "--nofile=140:140"])
    try await host.notices.next("READY=1")
    let client = try worker.connect()
    let rootfs = JSON(try await RootFilesystem.busybox())
    try await client.call(
      "container.create", ["container": "c1", "rootfs": rootfs, "args": ["sleep", "1000"]])
    try await client.call("task.start", ["container": "c1"])
    let exec: JSON = ["container": "c1", "args": ["sleep", "1000"]]
    var refusal: JSON?
    for number in 1...32 where refusal == nil {
      let id = client.post("process.exec", exec.merging(["process": JSON("e\(number)")]))
      let reply = try await client.reply(to: id)
      if reply["result"] == nil { refusal = reply["error"] }
    }
    #expect(refusal?["code"] == "io")
    let another = try worker.connect()
    try await another.call("process.kill", ["container": "c1", "signal": "KILL"])
    try await another.call("container.delete", ["container": "c1", "force": true])
    #expect(await worker.terminate() == .exited(0))
  }

  @Test func containersDoNotHoldItUp() async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost()
    // A session of its own, which the kernel may take for a group.
    let script = "LISTEN_PID=$$ exec \"$@\""
    let leader = try host.start(
      containerd: containerd.address, through: ["/usr/bin/setsid", "--wait", "sh", "-c", script, "sh"])
    try await host.notices.next("READY=1")
    let children = "/proc/\(leader.process.pid)/task/\(leader.process.pid)/children"
    let pid = try #require(
      Int32(try String(contentsOfFile: children, encoding: .utf8).trimmingCharacters(in: .whitespaces)))
    #expect(niceness(pid) == -10)
    if let group = groupNiceness(pid) { #expect(group == "-10") }
    Glibc.kill(pid, SIGTERM)
    #expect(await leader.process.wait(seconds: 20) == .exited(0))

    // Another's session is not its to change.
    for (options, wanted) in [([], -10), (["--nice", "3"], 3), (["--nice", "0"], niceness(getpid()))] {
      let worker = try host.start(containerd: containerd.address, options: options)
      try await host.notices.next("READY=1")
      #expect(niceness(worker.process.pid) == wanted)
      #expect(groupNiceness(worker.process.pid) == groupNiceness(getpid()))
      #expect(await worker.terminate() == .exited(0))
    }
  }

  private func niceness(_ pid: pid_t) -> Int32 {
    getpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(pid))
  }

  /// That of its session, where the kernel schedules sessions as groups.
  private func groupNiceness(_ pid: pid_t) -> String? {
    (try? String(contentsOfFile: "/proc/\(pid)/autogroup", encoding: .utf8))?
      .trimmingCharacters(in: .newlines).split(separator: " ").last.map(String.init)
  }

  // MARK: - The socket
}
