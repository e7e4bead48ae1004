extension Channel {
  /// One request, one answer.
  ///
  /// Cancelling the task cancels the call; it then ends with `cancelled`, and whether the server did something is
  /// not known.
  ///
  /// - Parameters:
  ///   - path: `/package.Service/Method`.
  ///   - timeout: also sent to the server, which gives up as well; nil waits for ever.
  package func unary(
    _ path: StaticString, _ message: Slice, metadata: Metadata, timeout: Duration?
  ) async throws(RPCError) -> Slice {
    let call = try makeCall(path, timeout: timeout)
    defer { retire(call) }
    let started = await withTaskCancellationHandler {
      await call.perform(
        [.sendMetadata, .sendMessage, .sendClose, .receiveMetadata, .receiveMessage, .receiveStatus],
        sending: .init(metadata: metadata, message: message))
    } onCancel: {
      call.cancel()
    }
    if let failure = call.failure {
      // A batch that never started has left the slot's first value, UNKNOWN without text.
      throw started || !failure.message.isEmpty ? failure : RPCError(.internalError, "gRPC refused \(path)")
    }
    guard let answer = call.takeMessage() else {
      throw RPCError(.internalError, "no message in the answer of \(path)")
    }
    return answer
  }
}
