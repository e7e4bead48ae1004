/// The global actor whose executor is the event loop's thread: it owns all mutable state of the worker.
@globalActor
package actor Loop {
  package static let shared = Loop()

  private nonisolated let executor = LoopExecutor()

  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    executor.asUnownedSerialExecutor()
  }

  /// Turns the calling thread into the event loop's until `stop`. Once in a process.
  package static nonisolated func run() {
    shared.executor.run()
  }

  /// Ends `run` after the work that is due.
  package static nonisolated func stop() {
    shared.executor.stop()
  }

  /// Resumes on the loop after a time, at once when the task is cancelled.
  @Loop
  package static func sleep(_ duration: Duration) async {
    let timer = TimerCell()
    await withTaskCancellationHandler {
      await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        timer.start(duration) { continuation.resume() }
        if Task.isCancelled { timer.fireNow() }
      }
    } onCancel: {
      Task { @Loop in timer.fireNow() }
    }
  }
}

/// A timer that may be fired early, once.
@Loop
private final class TimerCell {
  private var action: (@Loop () -> Void)?
  private var id: Poller.TimerID?

  nonisolated init() {}

  func start(_ duration: Duration, _ action: @escaping @Loop () -> Void) {
    self.action = action
    id = Poller.shared.schedule(after: duration) { self.fireNow() }
  }

  func fireNow() {
    guard let action else { return }
    self.action = nil
    if let id { Poller.shared.cancel(id) }
    action()
  }
}
