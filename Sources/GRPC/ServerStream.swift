/// One request, any number of answers, pulled one by one: what is not asked for is held back by HTTP/2's flow
/// control.
package final class ServerStream: Sendable {
  private let channel: Channel
  private let call: Call
  private let ending: Ending

  /// Sends the request; an error shows at the first `next`.
  ///
  /// - Parameter timeout: until its end; nil waits for ever.
  package init(
    on channel: Channel, _ path: StaticString, _ message: Slice, metadata: Metadata, timeout: Duration? = nil
  ) throws(RPCError) {
    let call = try channel.makeCall(path, timeout: timeout)
    // With its end, not with this object: who closes the channel waits for all calls.
    let ending = Ending { [weak channel, weak call] in
      if let channel, let call { channel.retire(call) }
    }
    self.call = call
    self.channel = channel
    self.ending = ending
    // Headers may come only with the first message (grpc-go does that), so nobody waits for them.
    let started =
      call.begin(
        [.sendMetadata, .sendMessage, .sendClose], sending: .init(metadata: metadata, message: message))
      && call.begin([.receiveMetadata])
      // A call whose status nobody has asked for never ends.
      && call.begin([.receiveStatus], telling: .ending(ending))
    guard started else {
      call.cancel()
      channel.retire(call)
      throw RPCError(.internalError, "gRPC refused \(path)")
    }
  }

  deinit {
    cancel()
    channel.retire(call)
  }

  package func cancel() {
    call.cancel()
  }

  /// The next message; nil when the server has ended the stream with OK. Not to be called again after it returned
  /// nil or threw, nor while another call of it waits. Cancelling the task cancels the stream.
  package func next() async throws(RPCError) -> Slice? {
    _ = await withTaskCancellationHandler {
      await call.perform([.receiveMessage])
    } onCancel: {
      call.cancel()
    }
    if let message = call.takeMessage() { return message }
    await ending.wait()
    if let failure = call.failure { throw failure }
    return nil
  }
}
