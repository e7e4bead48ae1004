internal import CGRPC
internal import Glibc
internal import Synchronization

/// gRPC's queue of finished batches and the one thread that empties it.
///
/// The thread resumes a continuation per batch and does nothing else: no user code ever runs on it. The callback
/// flavour of the queue is no alternative, since with gRPC 1.51 nobody polls for it but a 5 s backup poller
/// (grpc/grpc#25169).
final class CompletionQueue: Sendable {
  // Thread-safe in the C core; freed only in `shutDown`, after the thread is gone.
  nonisolated(unsafe) let raw: OpaquePointer
  private let thread: pthread_t

  init?() {
    guard let queue = grpc_completion_queue_create_for_next(nil) else { return nil }
    raw = queue
    var thread = pthread_t()
    guard pthread_create(&thread, nil, runCompletionQueue, UnsafeMutableRawPointer(queue)) == 0 else {
      grpc_completion_queue_shutdown(queue)
      grpc_completion_queue_destroy(queue)
      return nil
    }
    self.thread = thread
  }

  /// Ends the thread and frees the queue. Every batch must have completed, and nothing may be started any more.
  func shutDown() {
    grpc_completion_queue_shutdown(raw)
    pthread_join(thread, nil)
    grpc_completion_queue_destroy(raw)
  }
}

// A free function, so that it has no isolation to inherit: gRPC's thread calls it.
private func runCompletionQueue(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  let queue = OpaquePointer(argument)
  while true {
    let event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), nil)
    if event.type == GRPC_QUEUE_SHUTDOWN { return nil }
    guard event.type == GRPC_OP_COMPLETE, let tag = event.tag else { continue }
    Unmanaged<Batch>.fromOpaque(tag).takeRetainedValue().complete(success: event.success != 0)
  }
}
