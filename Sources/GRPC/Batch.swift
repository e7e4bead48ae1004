internal import Synchronization

/// A batch in flight, handed to gRPC as a tag that comes back exactly once.
///
/// It holds the call, whose slots gRPC writes to, until then.
final class Batch: Sendable {
  /// Who is told of the end.
  enum Observer {
    case nobody
    case continuation(UnsafeContinuation<Bool, Never>)
    case ending(Ending)
  }

  private let call: Call
  private let observer: Observer
  // Written before the batch starts and read when it completes: the order that libgrpc guarantees, in a form that
  // ThreadSanitizer sees.
  private let started = Atomic<Bool>(false)

  init(of call: Call, telling observer: Observer) {
    self.call = call
    self.observer = observer
  }

  func makeTag() -> UnsafeMutableRawPointer {
    started.store(true, ordering: .releasing)
    return Unmanaged.passRetained(self).toOpaque()
  }

  func complete(success: Bool) {
    _ = started.load(ordering: .acquiring)
    switch observer {
    case .nobody: break
    case .continuation(let continuation): continuation.resume(returning: success)
    case .ending(let ending): ending.arrive()
    }
  }
}

/// Something that comes once and that one task may wait for, before or after it came.
final class Ending: Sendable {
  private enum State {
    case pending
    case awaited(UnsafeContinuation<Void, Never>)
    case arrived
  }

  private let state = Mutex(State.pending)
  private let onArrival: @Sendable () -> Void

  /// - Parameter onArrival: runs on the completion queue's thread, so it does next to nothing.
  init(onArrival: @escaping @Sendable () -> Void) {
    self.onArrival = onArrival
  }

  func arrive() {
    let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
      defer { state = .arrived }
      if case .awaited(let continuation) = state { return continuation }
      return nil
    }
    onArrival()
    waiter?.resume()
  }

  func wait() async {
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      let over = state.withLock { state in
        if case .arrived = state { return true }
        state = .awaited(continuation)
        return false
      }
      if over { continuation.resume() }
    }
  }
}
