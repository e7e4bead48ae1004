internal import CLinux
internal import Glibc
internal import Synchronization

/// Runs jobs on the thread of the event loop. Any thread may enqueue: an eventfd wakes the loop.
final class LoopExecutor: SerialExecutor {
  private struct Inbox {
    var jobs: [UnownedJob] = []
    var awake = true
    var stopping = false
  }

  private let inbox = Mutex(Inbox())
  private let thread = Atomic<UInt>(0)
  private let wakeup = clinux_eventfd()

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    wake { $0.jobs.append(job) }
  }

  func stop() {
    wake { $0.stopping = true }
  }

  // Asked when isolated code is entered from outside of a job, as the poller's callbacks are.
  func checkIsolated() {
    precondition(onLoop, "not on the event loop")
  }

  func isIsolatingCurrentContext() -> Bool? {
    onLoop
  }

  private var onLoop: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

  private func wake(_ change: (inout Inbox) -> Void) {
    let sleeping = inbox.withLock { inbox in
      change(&inbox)
      defer { inbox.awake = true }
      return !inbox.awake
    }
    if sleeping {
      var one: UInt64 = 1
      _ = write(wakeup, &one, 8)
    }
  }

  func run() {
    thread.store(UInt(pthread_self()), ordering: .relaxed)
    assumeOnLoop { self.turnUntilStopped() }
  }

  @Loop
  private func turnUntilStopped() {
    var jobs: [UnownedJob] = []
    Poller.shared.watchWakeup(wakeup)
    while true {
      let stopping = inbox.withLock { inbox in
        swap(&jobs, &inbox.jobs)
        inbox.awake = !jobs.isEmpty
        return inbox.stopping && jobs.isEmpty
      }
      if stopping { return }
      for job in jobs { job.runSynchronously(on: asUnownedSerialExecutor()) }
      let busy = !jobs.isEmpty
      jobs.removeAll(keepingCapacity: true)
      Poller.shared.turn(wait: !busy)
    }
  }

  private func assumeOnLoop(_ body: @Loop () -> Void) {
    Loop.shared.assumeIsolated { _ in
      // The loop's actor is the global actor's only instance: isolated to one is isolated to the other.
      withoutActuallyEscaping(body) { body in
        let unisolated = unsafeBitCast(body, to: (() -> Void).self)
        unisolated()
      }
    }
  }
}
