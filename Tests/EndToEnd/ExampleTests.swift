import Foundation
import Glibc
import Testing
import TestSupport

/// The client in examples/, as a person uses it.
@Suite(.serialized)
struct ExampleTests {
  private let program =
    URL(fileURLWithPath: Sandbox.scripts).deletingLastPathComponent().path + "/examples/cw.py"

  private func run(_ bed: TestBed, _ arguments: [String]) async throws -> (
    status: TestSupport.ExitStatus, output: String
  ) {
    try await ChildProcess.run(
      "/usr/bin/env", ["python3", program, "--socket", bed.worker.socket] + arguments)
  }

  @Test func anInteractiveShellInATerminal() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let terminal = try PseudoTerminal(columns: 101, rows: 33)
    let shell = try ChildProcess(
      "/usr/bin/env", ["python3", program, "--socket", bed.worker.socket, "exec", "-it", "c1", "sh"],
      input: terminal.slave, output: terminal.slave, error: terminal.slave)
    try await terminal.until("/ # ")
    try await terminal.type("stty size\n")
    try await terminal.until("33 101\r\n")
    // The other end follows the window.
    terminal.resize(columns: 120, rows: 44)
    shell.signal(SIGWINCH)
    try await terminal.type("until [ \"$(stty size)\" = '44 120' ]; do :; done; echo re''sized\n")
    try await terminal.until("resized\r\n")
    // ^C ends what runs there, not what runs here.
    try await terminal.type("sleep 9''99\n")
    try await bed.untilRunning("c1", "sleep 999")
    try await terminal.type("\u{3}")
    try await terminal.type("echo aft''er $?\n")
    try await terminal.until("after 130\r\n")
    try await terminal.type("exit 7\n")
    #expect(await shell.wait() == .exited(7))
    #expect(terminal.echoes)
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// More than the worker takes at once, from a pipe and from a file, which cannot be waited for.
  @Test(arguments: ["cat \"$0\" |", "<\"$0\""]) func muchInputGoesThrough(from: String) async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let file = try Sandbox.newDirectory("input") + "/input"
    try Data(NumberedLines.bytes(0..<3_000_000)).write(to: URL(fileURLWithPath: file))
    let client = "python3 \(program) --socket \(bed.worker.socket) exec c1 sh -c 'sleep 0.1; cat; exit 5'"
    let line = from.hasPrefix("<") ? "\(client) \(from)" : "\(from) \(client)"
    let pipe = try Pipe.make()
    let shell = try ChildProcess("/bin/sh", ["-c", line, file], output: pipe.write)
    pipe.write.close()
    #expect(try await pipe.read.readAll() == NumberedLines.bytes(0..<3_000_000))
    #expect(await shell.wait() == .exited(5))
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func outputIsFollowedAndTaken() async throws {
    let bed = try await TestBed.start()
    for (id, command) in [("c1", "follow"), ("c2", "take")] {
      try await bed.client.call(
        "container.create",
        [
          "container": JSON(id), "rootfs": JSON(bed.rootfs),
          "args": ["sh", "-c", JSON("\(NumberedLines.script(1...100_000)); exit 3")],
        ])
      try await bed.client.call("task.start", ["container": JSON(id)])
      let (status, output) = try await run(bed, [command, id])
      #expect(status == .exited(3))
      #expect(Array(output.utf8) == NumberedLines.bytes(0..<800_000))
    }
    for id in ["c1", "c2"] { try await bed.remove(id) }
    try await bed.finish()
  }

  @Test func followingComesToAnEndAfterTheEnd() async throws {
    let bed = try await TestBed.start()
    for terminal in [false, true] {
      try await bed.startContainer("c1", ["sh", "-c", "echo hi; exit 3"], terminal: terminal)
      _ = try await bed.client.event("process.closed", container: "c1")
      let (status, output) = try await run(bed, ["follow", "c1"])
      #expect(status == .exited(3))
      #expect(output == (terminal ? "hi\r\n" : "hi\n"))
      try await bed.remove("c1")
    }
    try await bed.finish()
  }

  @Test func followingGoesOnOverKilledWorkers() async throws {
    let bed = try await TestBed.start()
    var (worker, client) = (bed.worker, bed.client)
    let size = 8_000_000
    try await client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs),
        "args": ["sh", "-c", JSON("\(NumberedLines.script(1...size / 8)); exit 3")],
      ])
    try await client.call("task.start", ["container": "c1"])
    let pipe = try Pipe.make()
    let follower = try ChildProcess(
      "/usr/bin/env", ["python3", program, "--socket", worker.socket, "follow", "c1"],
      output: pipe.write, error: pipe.write)
    pipe.write.close()
    async let status = follower.wait(seconds: 120)
    var output: [UInt8] = []
    for _ in 1...3 {
      // With nobody to read on the process has much left to print.
      output += try await pipe.read.read(exactly: 1_500_000)
      worker.process.signal(SIGKILL)
      #expect(await worker.process.wait() == .signaled(9))
      worker = try await WorkerProcess.start(
        containerd: bed.containerd.address, socket: worker.socket, stateDirectory: worker.stateDirectory,
        namespace: worker.namespace)
    }
    output += try await pipe.read.readAll()
    // The difference of so long arrays would take minutes to find.
    let isWhole = output == NumberedLines.bytes(0..<size)
    #expect(isWhole, "\(output.count) bytes")
    #expect(await status == .exited(3))
    client = try worker.connect()
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await worker.terminate() == .exited(0))
  }
}
