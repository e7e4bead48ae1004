import Foundation
import Testing
import TestSupport

struct SoakTests {
  /// A short one of what `make soak` does for long.
  @Test func aWorkerIsWhereItWasAfterManyLives() async throws {
    let program = URL(fileURLWithPath: Sandbox.scripts).deletingLastPathComponent().path + "/Chaos/soak.py"
    let (status, output) = try await ChildProcess.run(
      "/usr/bin/env",
      ["python3", program, "--worker", WorkerProcess.binary(), "--lives", "40", "--execs", "160"])
    #expect(status == .exited(0), "\(output)")
  }
}
