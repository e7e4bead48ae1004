internal import FIFOIO
internal import Protocol
internal import Runtime

extension ProtocolError {
  /// The runtime's error in the terms of the wire.
  init(_ error: RuntimeError, container: String? = nil, process: ProcessName? = nil) {
    let code: ErrorCode =
      switch error.kind {
      case .notFound: .notFound
      case .alreadyExists: .alreadyExists
      case .wrongState: .wrongState
      case .invalidArgument: .invalidArgument
      case .startFailed: .startFailed
      case .unavailable, .unreachable: .unavailable
      case .deadlineExceeded: .deadlineExceeded
      case .cancelled, .withdrawn: .cancelled
      case .io: .io
      case .internalError: .internalError
      }
    self.init(code, error.message, container: container, process: process?.description)
    if [.unreachable, .withdrawn].contains(error.kind) { effect = Effect.none }
    if case .startFailed(let stage, let exitCode) = error.kind {
      self.stage = stage.rawValue
      self.exitCode = exitCode
    }
  }

  init(_ refusal: StdinMachine.Refusal, container: String, process: ProcessName) {
    let (code, message, argument): (ErrorCode, String, String?) =
      switch refusal {
      case .closed: (.wrongState, "stdin is closed", nil)
      case .cancelled: (.cancelled, "cancelled", nil)
      case .notKept(let reason): (.io, reason, nil)
      case .handedOver: (.wrongState, "stdin is handed over", nil)
      case .broken: (.io, "the process does not read its stdin any more", nil)
      case .misplaced(let accepted):
        (.invalidArgument, "stdin is accepted up to offset \(accepted)", "offset")
      }
    self.init(code, message, argument: argument, container: container, process: process.description)
    switch refusal {
    // It was still waiting.
    case .cancelled, .notKept: effect = Effect.none
    default: break
    }
  }
}

/// Runs an operation of the runtime and translates its error.
@Loop
func translating<Value>(
  container: String? = nil, process: ProcessName? = nil, _ body: @Loop () async throws(RuntimeError) -> Value
) async throws(ProtocolError) -> Value {
  do throws(RuntimeError) {
    return try await body()
  } catch {
    throw ProtocolError(error, container: container, process: process)
  }
}

extension ProcessName {
  /// The exec id, nil for the init process.
  var exec: String? {
    if case .exec(let id) = self { id } else { nil }
  }
}
