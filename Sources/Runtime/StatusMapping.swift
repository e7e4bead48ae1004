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
    case .unavailable: .unavailable
    case .deadlineExceeded: .deadlineExceeded
    case .cancelled: .cancelled
    case .unknown: kind(ofText: status.message, stage: stage)
    default: .internalError
    }
  }

  private static func kind(ofText text: String, stage: RuntimeError.Stage?) -> RuntimeError.Kind {
    if saysWrongState(text) { return .wrongState }
    if text.contains("ttrpc: closed") { return .unavailable }
    if let stage { return .startFailed(stage: stage, exitCode: exitCode(for: text)) }
    if text.contains("unable to signal init: invalid argument") { return .invalidArgument }
    return .internalError
  }

  /// "cannot pause a stopped container", "cannot exec in a paused state", "failed to delete task: cannot delete a
  /// running process": pkg/process/*_state.go of the shim.
  private static func saysWrongState(_ text: String) -> Bool {
    let states = [
      "created state", "stopped state", "paused state", "running state", "deleted state",
      "a running ", "a stopped ", "a paused ", "a created ", "a deleted ",
    ]
    return text.contains("cannot ") && states.contains { text.contains($0) }
  }

  /// As a shell has it: 127 not found, 126 found and not executable, 128 all else.
  private static func exitCode(for text: String) -> Int {
    guard text.contains("exec: ") || text.contains("chdir to cwd") else { return 128 }
    if text.contains("permission denied") || text.contains("is a directory") { return 126 }
    if text.contains("executable file not found") || text.contains("no such file or directory")
      || text.contains("not a directory")
    {
      return text.contains("chdir to cwd") ? 126 : 127
    }
    return 128
  }
}
