import GRPC
import Testing

@testable import Runtime

/// containerd's words for what it has no code for, as 1.6.20, 1.7.24 and 2.1.9 say them. The first two add
/// ": unknown" to what comes from the shim.
struct StatusMappingTests {
  private func kind(
    _ code: RPCError.Code, _ text: String, _ stage: RuntimeError.Stage? = nil
  ) -> RuntimeError.Kind {
    StatusMapping.error(for: RPCError(code, text), stage: stage).kind
  }

  @Test func codesComeFirst() {
    #expect(kind(.notFound, "task c1 not found") == .notFound)
    #expect(kind(.notFound, "process already finished: not found") == .notFound)
    #expect(kind(.alreadyExists, "task c1: already exists") == .alreadyExists)
    #expect(kind(.alreadyExists, "id e1: already exists", .exec) == .alreadyExists)
    #expect(kind(.failedPrecondition, "process not created: failed precondition") == .wrongState)
    #expect(kind(.invalidArgument, "container.ID: identifier \"-\" must match") == .invalidArgument)
    #expect(kind(.unavailable, "connection error", .create) == .unavailable)
    #expect(kind(.unavailable, "failed to connect to all addresses; last error: …", .create) == .unreachable)
    #expect(kind(.deadlineExceeded, "context deadline exceeded", .create) == .deadlineExceeded)
    // libcontainerd once took this for "not found" by its words.
    #expect(
      kind(
        .unknown, "exec: \"foo\": executable file not found in $PATH: unknown", .create)
        == .startFailed(stage: .create, exitCode: 127))
  }

  @Test(arguments: [
    "cannot pause task in created state", "cannot resume task in created state",
    "cannot start a running process",
    "failed to delete task: cannot delete container c1 that is not stopped: running",
    "failed to delete task: cannot delete a running process", "cannot resume a running process",
    "cannot start a stopped process", "cannot pause a paused container", "cannot exec in a paused state",
    "failed to delete task: cannot delete a paused process", "cannot pause a stopped container",
    "cannot exec in a stopped state", "cannot update a stopped container",
    "cannot checkpoint a stopped container",
    "cannot delete a running process", "cannot exec in a deleted state",
  ])
  func wrongStatesAreTexts(text: String) {
    for text in [text, text + ": unknown"] {
      #expect(kind(.unknown, text) == .wrongState)
      #expect(kind(.unknown, text, .exec) == .wrongState)
    }
  }

  @Test(arguments: [
    (127, "exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory"),
    (127, "exec: \"nosuch\": executable file not found in $PATH"),
    (127, "exec: \"/bin/true/x\": stat /bin/true/x: not a directory"),
    (126, "exec: \"/bin/nox\": permission denied"),
    (126, "exec: \"/bin\": is a directory"),
    (126, "chdir to cwd (\"/x\") set in config.json failed: no such file or directory"),
    (127, "crun: executable file `nosuch` not found in $PATH: No such file or directory"),
    (126, "crun: open executable: Permission denied"),
    (128, "Cwd must be an absolute path"),
    (128, "args must not be empty"),
    (128, "unable to setup user: uids and gids must be in range 0-2147483647"),
    (
      128,
      "error during container init: error mounting \"/no/such\" to rootfs at \"/mnt\": stat /no/such: no such file or directory"
    ),
  ])
  func aFailedStartHasTheExitCodeOfAShell(code: Int, reason: String) {
    let create =
      "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
    let exec = "OCI runtime exec failed: exec failed: unable to start container process: "
    for end in ["", ": unknown"] {
      #expect(kind(.unknown, create + reason + end, .create) == .startFailed(stage: .create, exitCode: code))
      #expect(kind(.unknown, exec + reason + end, .exec) == .startFailed(stage: .exec, exitCode: code))
    }
  }

  @Test func theRestIsToldApart() {
    #expect(kind(.unknown, "ttrpc: closed: unknown") == .unavailable)
    let killed = "failed to delete task: runc did not terminate successfully: exit status 137: "
    #expect(kind(.unknown, killed) == .unavailable)
    #expect(kind(.unknown, killed, .start) == .startFailed(stage: .start, exitCode: 128))
    #expect(
      kind(
        .unknown,
        "unknown error after kill: runc did not terminate successfully: exit status 1: unable to signal init: invalid argument\n: unknown"
      ) == .invalidArgument)
    #expect(
      kind(
        .unknown,
        "failed to create shim task: OCI runtime create failed: runc create failed: invalid rootfs: stat /x: no such file or directory",
        .create) == .startFailed(stage: .create, exitCode: 128))
    #expect(
      kind(
        .unknown,
        "failed to start shim: failed to resolve runtime path: runtime \"io.containerd.nosuch.v1\" binary not installed \"containerd-shim-nosuch-v1\": file does not exist",
        .create) == .startFailed(stage: .create, exitCode: 128))
    #expect(kind(.unknown, "something new") == .internalError)
  }
}
