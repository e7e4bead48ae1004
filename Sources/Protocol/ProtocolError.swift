/// What can be wrong, as clients see it. The list is closed: protocol.md names every code.
package enum ErrorCode: String, Sendable, CaseIterable {
  // The line
  case invalidJSON = "invalid_json"
  case invalidUTF8 = "invalid_utf8"
  case lineTooLong = "line_too_long"
  case tooDeep = "too_deep"
  case duplicateKey = "duplicate_key"
  case truncatedLine = "truncated_line"
  case unknownCommand = "unknown_command"
  case unknownArgument = "unknown_argument"
  case missingArgument = "missing_argument"
  case invalidArgument = "invalid_argument"
  // The session
  case busy
  case cancelled
  case deadlineExceeded = "deadline_exceeded"
  case keyConflict = "key_conflict"
  case cursorExpired = "cursor_expired"
  case slowConsumer = "slow_consumer"
  case permissionDenied = "permission_denied"
  case shuttingDown = "shutting_down"
  // The thing
  case notFound = "not_found"
  case alreadyExists = "already_exists"
  case wrongState = "wrong_state"
  case limitReached = "limit_reached"
  // The runtime
  case startFailed = "start_failed"
  case unavailable
  case io
  case internalError = "internal"

  /// What a client should do with the command.
  package var retry: Retry {
    switch self {
    case .busy, .unavailable, .limitReached: .later
    case .cursorExpired: .resync
    case .shuttingDown: .same
    default: .no
    }
  }

  package enum Retry: String, Sendable {
    case no, same, later, resync
  }
}

/// What is known of the effect of a command that did not run to its end.
package enum Effect: String, Sendable {
  case none, done, unknown
}

/// An error as it goes to a client.
package struct ProtocolError: Error, Sendable, Equatable {
  package var code: ErrorCode
  package var message: String
  /// The offending argument, as a path (`spec.process.args`).
  package var argument: String?
  /// The byte of the line at which it went wrong, from 0.
  package var position: Int?
  package var container: String?
  package var process: String?
  package var effect: Effect?
  /// Of `start_failed`: what a shell would report, 126, 127 or 128.
  package var exitCode: Int?
  /// Of `start_failed`: `create`, `start` or `exec`.
  package var stage: String?
  package var retryAfterMilliseconds: Int?

  package init(
    _ code: ErrorCode, _ message: String, argument: String? = nil, position: Int? = nil,
    container: String? = nil, process: String? = nil, effect: Effect? = nil
  ) {
    self.code = code
    self.message = message
    self.argument = argument
    self.position = position
    self.container = container
    self.process = process
    self.effect = effect
    if code.retry == .later { retryAfterMilliseconds = 100 }
  }
}
