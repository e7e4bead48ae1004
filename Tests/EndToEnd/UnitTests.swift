import Foundation
import Testing
import TestSupport

/// The files in systemd/, as far as they can be tested where systemd does not run.
@Suite(.serialized)
struct UnitTests {
  private static let folder =
    URL(fileURLWithPath: Sandbox.scripts).deletingLastPathComponent().path + "/systemd"

  private func unit(_ kind: String) throws -> String {
    try String(contentsOfFile: "\(UnitTests.folder)/containerd-worker.\(kind)", encoding: .utf8)
  }

  /// The value of a setting that a unit has once.
  private func setting(_ name: String, _ kind: String) throws -> String {
    let lines = try unit(kind).split(separator: "\n").filter { $0.hasPrefix("\(name)=") }
    return String(try #require(lines.count == 1 ? lines.first : nil).dropFirst(name.count + 1))
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze")))
  func systemdUnderstandsTheUnits() async throws {
    let directory = try Sandbox.newDirectory("u")
    // It wants the program to be there.
    let service = try unit("service").replacingOccurrences(
      of: "/usr/local/bin/containerd-worker", with: WorkerProcess.binary())
    let files = ["service": service, "socket": try unit("socket")]
    for (kind, text) in files {
      try text.write(toFile: "\(directory)/containerd-worker.\(kind)", atomically: true, encoding: .utf8)
    }
    let verified = try await ChildProcess.run(
      "/usr/bin/systemd-analyze", ["verify"] + files.keys.map { "\(directory)/containerd-worker.\($0)" })
    #expect(verified.status == .exited(0))
    #expect(verified.output == "")
  }

  @Test func theUnitsAndTheProgramMeanTheSamePlaces() async throws {
    let help = try await ChildProcess.run(WorkerProcess.binary(), ["serve", "--help"]).output
      .split(whereSeparator: { $0.isWhitespace }).joined(separator: " ")
    #expect(help.contains("(default: \(try setting("ListenStream", "socket")))"))
    #expect(help.contains("(default: /run/\(try setting("RuntimeDirectory", "service"))/state)"))
    // Without it systemd removes the FIFOs of running containers, and its own socket, with the worker.
    #expect(try setting("RuntimeDirectoryPreserve", "service") == "yes")
    // A socket of this name is taken also where there are several.
    #expect(try setting("FileDescriptorName", "socket") == "worker")
  }

  @Test func theRightsThatTheServiceLeavesAreEnough() async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost()
    let capabilities = try setting("CapabilityBoundingSet", "service").split(separator: " ")
      .map { "+" + $0.dropFirst("CAP_".count).lowercased() }
    #expect(try setting("NoNewPrivileges", "service") == "yes")
    let worker = try host.start(
      containerd: containerd.address,
      through: [
        "/usr/bin/setpriv", "--no-new-privs", "--bounding-set", "-all,\(capabilities.joined(separator: ","))",
      ])
    try await host.notices.next("READY=1")
    let client = try worker.connect()
    let rootfs = try await RootFilesystem.busybox()
    try await client.call("container.create", ["container": "c1", "rootfs": JSON(rootfs), "args": ["cat"]])
    try await client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    try await client.call("stdio.write", ["container": "c1", "text": "through"])
    try await client.call("stdio.close", ["container": "c1"])
    #expect(try await client.event("process.closed", container: "c1")["exit_code"] == 0)
    #expect(try client.output("c1") == Array("through".utf8))
    try await client.call("container.delete", ["container": "c1", "force": true])
    let status = try String(contentsOfFile: "/proc/\(worker.process.pid)/status", encoding: .utf8)
    #expect(status.contains("NoNewPrivs:\t1"))
    client.close()
    #expect(await worker.terminate() == .exited(0))
  }
}
