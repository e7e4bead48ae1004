/// A call that did not end with status OK.
package struct RPCError: Error, Sendable, Equatable {
  /// The status codes of gRPC (grpc/status.h), with gRPC's numbers.
  package enum Code: Int, Sendable {
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case internalError = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16
  }

  package let code: Code
  /// The server's text, or gRPC's own where no server answered. May be empty.
  package let message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
}
