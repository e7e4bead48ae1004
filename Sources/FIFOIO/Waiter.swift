/// Lets one task wait for something to happen; cancelling the task ends the wait.
@Loop
package final class Waiter {
  private var continuation: UnsafeContinuation<Void, Never>?
  private var done = false

  package init() {}

  package func wait() async {
    await withTaskCancellationHandler {
      await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        if done || Task.isCancelled { return continuation.resume() }
        self.continuation = continuation
      }
    } onCancel: {
      Task { @Loop in self.resume() }
    }
  }

  package func resume() {
    done = true
    continuation?.resume()
    continuation = nil
  }
}
