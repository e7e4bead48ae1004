internal import GRPC

/// The one place where containerd's answers become our errors. Its status code decides; its text only where it has no
/// code for the case: wrong states and the OCI runtime's failures are all UNKNOWN.
enum StatusMapping {
  static func error(for status: RPCError, stage: RuntimeError.Stage? = nil) -> RuntimeError {
    RuntimeError(kind(of: status, stage: stage), status.message.isEmpty ? "\(status.code)" : status.message)
  }

  private static func kind(of status: RPCError, stage: RuntimeError.Stage?) -> RuntimeError.Kind {
    switch status.code {
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .failedPrecondition: .wrongState
    case .invalidArgument, .outOfRange: .invalidArgument
    // gRPC's own words where there is no connection (client_channel.cc, pick_first).
    case .unavailable:
      status.message.hasPrefix("failed to connect to all addresses") ? .unreachable : .unavailable
    case .deadlineExceeded: .deadlineExceeded
    case .cancelled: .cancelled
    case .unknown: kind(ofText: status.message.lowercased(), stage: stage)
    default: .internalError
    }
  }

  private static func kind(ofText text: String, stage: RuntimeError.Stage?) -> RuntimeError.Kind {
    if let meaning = meanings.first(where: { $0.fits(text) }) { return meaning.kind }
    guard let stage else {
      // runc was killed, as it is with its shim: what it was to do is still to be done. A start is undone.
      let wasKilled = text.contains("did not terminate successfully: exit status 137")
      return wasKilled ? .unavailable : .internalError
    }
    return .startFailed(stage: stage, exitCode: exitCodes.first { $0.fits(text) }?.kind ?? 128)
  }

  /// A text in small letters that has all of `parts` in it and, where there are any, one of `either`.
  private struct Rule<Kind: Sendable>: Sendable {
    let kind: Kind
    let parts: [String]
    var either: [String] = []

    init(_ kind: Kind, _ parts: String..., either: [String] = []) {
      self.kind = kind
      self.parts = parts
      self.either = either
    }

    func fits(_ text: String) -> Bool {
      parts.allSatisfy(text.contains) && (either.isEmpty || either.contains(where: text.contains))
    }
  }

  /// What UNKNOWN means; the first that fits.
  private static let meanings: [Rule<RuntimeError.Kind>] = [
    // "cannot pause a stopped container", "cannot exec in a paused state", "failed to delete task: cannot delete a
    // running process": pkg/process/*_state.go of the shim.
    Rule(
      .wrongState, "cannot ",
      either: ["created", "running", "paused", "stopped", "deleted"].flatMap {
        [" \($0) state", " a \($0) "]
      }),
    // runc's own, of one that the shim takes to be created: its start failed when it ran already.
    Rule(.wrongState, "cannot delete container", "that is not stopped"),
    // The shim has died.
    Rule(.unavailable, "ttrpc: closed"),
    // A signal that the kernel does not have.
    Rule(.invalidArgument, "unable to signal init: invalid argument"),
    // Limits that cannot be had: runc's own words for what the cgroup's files refuse.
    Rule(.invalidArgument, "json: cannot unmarshal"),
    // The dump cannot be read: found at Start, where no process has been named.
    Rule(.startFailed(stage: .start, exitCode: 128), "oci runtime restore failed"),
  ]

  /// The exit code of a start that failed, as a shell has it: 127 not found, 126 found and not executable, 128 all else.
  private static let exitCodes: [Rule<Int>] = [
    // The program is fine, its directory is not.
    Rule(126, "chdir to cwd"),
    Rule(126, "exec: ", either: ["permission denied", "is a directory"]),
    Rule(
      127, "exec: ", either: ["executable file not found", "no such file or directory", "not a directory"]),
    // crun's words.
    Rule(126, "open executable", "permission denied"),
    Rule(127, "executable", "not found in $path"),
  ]
}
