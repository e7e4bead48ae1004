package import GRPC
package import SwiftProtobuf

/// A unary method of containerd: its path and what goes in and comes out.
package struct UnaryMethod<Request: Message, Response: Message>: Sendable {
  /// `/package.Service/Method`
  package let path: StaticString

  init(_ path: StaticString) {
    self.path = path
  }
}

/// A method that answers with a stream of messages.
package struct StreamMethod<Request: Message, Response: Message>: Sendable {
  package let path: StaticString

  init(_ path: StaticString) {
    self.path = path
  }
}

extension Slice: SwiftProtobufContiguousBytes {}

extension Channel {
  /// Calls a method of containerd.
  ///
  /// - Parameter timeout: nil waits for ever.
  package func call<Request: Message, Response: Message>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, metadata: Metadata, timeout: Duration?
  ) async throws(RPCError) -> Response {
    let answer = try await unary(method.path, encode(request), metadata: metadata, timeout: timeout)
    return try decode(answer, from: method.path)
  }

  /// Opens a stream of containerd.
  ///
  /// - Parameter timeout: until its end; nil waits for ever.
  package func open<Request: Message, Response: Message>(
    _ method: StreamMethod<Request, Response>, _ request: Request, metadata: Metadata,
    timeout: Duration? = nil
  ) throws(RPCError) -> MessageStream<Response> {
    MessageStream(
      stream: try ServerStream(on: self, method.path, encode(request), metadata: metadata, timeout: timeout),
      path: method.path)
  }
}

/// The messages of a stream, pulled one by one.
package struct MessageStream<Response: Message>: Sendable {
  fileprivate let stream: ServerStream
  fileprivate let path: StaticString

  /// The next message; nil when the server ended the stream with OK. Not to be called again after its end.
  package func next() async throws(RPCError) -> Response? {
    guard let message = try await stream.next() else { return nil }
    return try decode(message, from: path)
  }

  package func cancel() {
    stream.cancel()
  }
}

private func encode(_ request: some Message) throws(RPCError) -> Slice {
  do {
    return try request.serializedBytes()
  } catch {
    throw RPCError(.internalError, "cannot encode: \(error)")
  }
}

private func decode<Response: Message>(_ bytes: Slice, from path: StaticString) throws(RPCError) -> Response {
  do {
    return try Response(serializedBytes: bytes)
  } catch {
    throw RPCError(.internalError, "cannot decode the answer of \(path): \(error)")
  }
}
