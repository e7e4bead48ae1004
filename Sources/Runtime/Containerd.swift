internal import ContainerdAPI
package import FIFOIO
internal import GRPC
internal import SwiftProtobuf

/// The connection to containerd: one channel, one namespace, a deadline on every call, a count per method.
@Loop
package final class Containerd {
  package let address: String
  package let namespace: String
  private let channel: Channel
  private let metadata: Metadata

  /// Calls made so far, by `Service/Method`.
  package private(set) var calls: [String: Int] = [:]

  /// How long containerd may take where a command sets no deadline of its own. Create and Start may wait 30 s inside
  /// the shim; Delete may wait 10 s for its copiers.
  static let timeout = Duration.seconds(60)

  package init(address: String, namespace: String) throws(RuntimeError) {
    self.address = address
    self.namespace = namespace
    metadata = Metadata([("containerd-namespace", namespace)])
    do throws(RPCError) {
      channel = try Channel(unixSocket: address)
    } catch {
      throw RuntimeError(.internalError, error.message)
    }
  }

  func call<Request: Message, Response: Message>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, timeout: Duration? = Containerd.timeout,
    stage: RuntimeError.Stage? = nil
  ) async throws(RuntimeError) -> Response {
    count(method.path)
    do throws(RPCError) {
      return try await channel.call(method, request, metadata: metadata, timeout: timeout)
    } catch {
      throw StatusMapping.error(for: error, stage: stage)
    }
  }

  /// Like `call`, but a cancelled command does not cancel it: for calls that containerd would leave half done. A
  /// Create that is cancelled can leave a shim that no call reaches any more.
  func callToTheEnd<Request: Message & Sendable, Response: Message & Sendable>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, timeout: Duration? = Containerd.timeout,
    stage: RuntimeError.Stage? = nil
  ) async throws(RuntimeError) -> Response {
    // A task of its own does not inherit the cancellation.
    let outcome = await Task { @Loop () -> Result<Response, RuntimeError> in
      do throws(RuntimeError) {
        return .success(try await call(method, request, timeout: timeout, stage: stage))
      } catch {
        return .failure(error)
      }
    }.value
    return try outcome.get()
  }

  func open<Request: Message, Response: Message>(
    _ method: StreamMethod<Request, Response>, _ request: Request, timeout: Duration? = nil
  ) throws(RuntimeError) -> MessageStream<Response> {
    count(method.path)
    do throws(RPCError) {
      return try channel.open(method, request, metadata: metadata, timeout: timeout)
    } catch {
      throw StatusMapping.error(for: error)
    }
  }

  /// Ends every call. Afterwards `shutDown` may be called from outside of the loop.
  package func cancelAll() async {
    await channel.cancelAll()
  }

  /// Frees the channel; blocks until gRPC's threads are gone. Only after `cancelAll`.
  package nonisolated func shutDown() {
    channel.shutDown()
  }

  package nonisolated var liveCalls: Int { channel.liveCalls }

  private func count(_ path: StaticString) {
    // "/containerd.services.tasks.v1.Tasks/Create" is "Tasks/Create" to people.
    let name = path.description.split(separator: "/").suffix(2)
    let service = name.first?.split(separator: ".").last ?? ""
    calls["\(service)/\(name.last ?? "")", default: 0] += 1
  }
}
