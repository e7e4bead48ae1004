/// Lets any number of tasks wait for something to happen; cancelling a task ends its wait.
@Loop
package final class Waiters {
  private var waiting: [ObjectIdentifier: Waiter] = [:]

  package init() {}

  /// Returns at the next `resume`.
  package func wait() async {
    let waiter = Waiter()
    waiting[ObjectIdentifier(waiter)] = waiter
    await waiter.wait()
    waiting[ObjectIdentifier(waiter)] = nil
  }

  package func resume() {
    for waiter in waiting.values { waiter.resume() }
    waiting = [:]
  }
}
