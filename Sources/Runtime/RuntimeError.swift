/// Why an operation on containers failed, in the terms of the runtime.
package struct RuntimeError: Error, Sendable, Equatable {
  package enum Kind: Sendable, Equatable {
    case notFound
    case alreadyExists
    case wrongState
    case invalidArgument
    /// A process could not be started; the exit code is what a shell would report: 126, 127 or 128.
    case startFailed(stage: Stage, exitCode: Int)
    /// containerd or a shim is down or does not answer; what was asked of it may be done.
    case unavailable
    /// containerd cannot be reached: nothing was asked of it.
    case unreachable
    case deadlineExceeded
    case cancelled
    /// Cancelled before anything was done, or with everything undone.
    case withdrawn
    case io
    case internalError
  }

  /// The step at which a process's start failed.
  package enum Stage: String, Sendable {
    case create, start, exec
  }

  package var kind: Kind
  package var message: String

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// It may go well when it is tried again.
  var isPassing: Bool { [.unavailable, .unreachable, .deadlineExceeded].contains(kind) }

  /// The same of an operation that has done something before this step.
  package var afterAnEffect: RuntimeError {
    let kind: Kind =
      switch kind {
      case .unreachable: .unavailable
      case .withdrawn: .cancelled
      default: kind
      }
    return RuntimeError(kind, message)
  }
}
