internal import CGRPC
internal import Glibc
internal import Synchronization

/// A connection to one server, which gRPC opens when a call needs it and opens again after it broke.
///
/// The order of the end matters (an established stream outlives its channel and keeps the queue from draining):
/// `cancelAll`, then wait until every call has returned, then `shutDown`.
package final class Channel: Sendable {
  // Thread-safe in the C core; destroyed only in `shutDown`.
  nonisolated(unsafe) private let raw: OpaquePointer
  private let queue: CompletionQueue
  private let live = Mutex(Live())

  private struct Live {
    var calls: [ObjectIdentifier: Call] = [:]
    var closed = false
    var waiters: [UnsafeContinuation<Void, Never>] = []
  }

  /// The largest message either way, as containerd's own clients have it (defaults.DefaultMaxRecvMsgSize).
  private static let messageLimit: Int32 = 16 << 20

  /// A channel to the server that listens on a Unix socket. Nothing is connected yet.
  ///
  /// - Parameter path: the socket's absolute path.
  package init(unixSocket path: String) throws(RPCError) {
    gpr_set_log_function(logFromCore)
    grpc_init()
    guard let queue = CompletionQueue() else {
      grpc_shutdown()
      throw RPCError(.resourceExhausted, "no thread for gRPC's completion queue")
    }
    guard let channel = Channel.create(target: "unix:" + path) else {
      queue.shutDown()
      grpc_shutdown()
      throw RPCError(.invalidArgument, "no channel to \(path)")
    }
    self.queue = queue
    raw = channel
  }

  /// Cancels every call, refuses new ones, and returns when the last one has come back.
  package func cancelAll() async {
    let calls = live.withLock { live in
      live.closed = true
      return Array(live.calls.values)
    }
    for call in calls { call.cancel() }
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      let idle = live.withLock { live in
        if !live.calls.isEmpty { live.waiters.append(continuation) }
        return live.calls.isEmpty
      }
      if idle { continuation.resume() }
    }
  }

  /// Frees everything; blocks until gRPC's threads are gone. Only after `cancelAll`, once, and from no gRPC thread.
  package func shutDown() {
    grpc_channel_destroy(raw)
    queue.shutDown()
    grpc_shutdown_blocking()
  }

  /// The number of calls under way.
  package var liveCalls: Int { live.withLock { $0.calls.count } }

  func makeCall(_ path: StaticString, timeout: Duration?) throws(RPCError) -> Call {
    let method = grpc_slice_from_static_buffer(path.utf8Start, path.utf8CodeUnitCount)
    let deadline = timeout.map(Channel.deadline) ?? gpr_inf_future(GPR_CLOCK_MONOTONIC)
    // Within the lock: a channel that is closed may be freed at any time.
    return try live.withLock { live throws(RPCError) in
      if live.closed { throw RPCError(.cancelled, "the channel is closed") }
      // 0xffff is GRPC_PROPAGATE_DEFAULTS, a macro that Swift does not import.
      guard let raw = grpc_channel_create_call(raw, nil, 0xffff, queue.raw, method, nil, deadline, nil) else {
        throw RPCError(.internalError, "gRPC made no call for \(path)")
      }
      let call = Call(adopting: raw)
      live.calls[ObjectIdentifier(call)] = call
      return call
    }
  }

  /// The call is over.
  func retire(_ call: Call) {
    call.free()
    let waiters = live.withLock { live in
      live.calls[ObjectIdentifier(call)] = nil
      guard live.calls.isEmpty else { return [UnsafeContinuation<Void, Never>]() }
      defer { live.waiters = [] }
      return live.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  private static func deadline(after timeout: Duration) -> gpr_timespec {
    let (seconds, attoseconds) = timeout.components
    let nanoseconds = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let span = nanoseconds.overflow ? Int64.max : nanoseconds.partialValue + attoseconds / 1_000_000_000
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(span, GPR_TIMESPAN))
  }

  private static func create(target: String) -> OpaquePointer? {
    let options: [(String, Int32)] = [
      ("grpc.max_receive_message_length", messageLimit),
      ("grpc.max_send_message_length", messageLimit),
      // A call that was refused may have had an effect; whether to repeat it is our caller's decision.
      ("grpc.enable_retries", 0),
      ("grpc.service_config_disable_resolution", 1),
      ("grpc.enable_http_proxy", 0),
      ("grpc.http2.bdp_probe", 0),
      // The defaults (1 s to 120 s) suit a network, not a daemon on the same machine.
      ("grpc.initial_reconnect_backoff_ms", 100),
      // How long an attempt may take. On a Unix socket one that nobody listens on is refused at once.
      ("grpc.min_reconnect_backoff_ms", 5000),
      ("grpc.max_reconnect_backoff_ms", 1000),
      // Channels to one path must not share a connection: closing one would tell on the other.
      ("grpc.use_local_subchannel_pool", 1),
    ]
    var arguments = options.map { key, value in
      var argument = grpc_arg()
      argument.type = GRPC_ARG_INTEGER
      argument.key = strdup(key)
      argument.value.integer = value
      return argument
    }
    // From gRPC 1.57 on the default would be the escaped path, which strict servers refuse (grpc/grpc#38142).
    var authority = grpc_arg()
    authority.type = GRPC_ARG_STRING
    authority.key = strdup("grpc.default_authority")
    authority.value.string = strdup("localhost")
    arguments.append(authority)
    defer {
      for argument in arguments { free(argument.key) }
      free(authority.value.string)
    }
    let credentials = grpc_insecure_credentials_create()
    defer { grpc_channel_credentials_release(credentials) }
    return arguments.withUnsafeMutableBufferPointer { buffer in
      var list = grpc_channel_args(num_args: buffer.count, args: buffer.baseAddress)
      return grpc_channel_create(target, credentials, &list)
    }
  }
}

/// gRPC logs what we report ourselves as errors of calls; only what it holds for an error of its own is shown.
private func logFromCore(_ arguments: UnsafeMutablePointer<gpr_log_func_args>?) {
  guard let line = arguments?.pointee, line.severity == GPR_LOG_SEVERITY_ERROR, let text = line.message else {
    return
  }
  cgrpc_log_to_stderr("gRPC: " + String(cString: text) + "\n")
}
