internal import CLinux
internal import FIFOIO
internal import Glibc
internal import Synchronization

/// The thread that reads and writes the journal, a batch at a time: what came while it wrote the last one goes in one
/// transaction (group commit).
final class JournalThread: Sendable {
  /// What the loop asks for.
  enum Question: Sendable {
    case events(after: UInt64, limit: Int, @Sendable ([StoredEvent]) -> Void)
    /// Of which containers there are events of a name since a time.
    case told(String, since: Int64, @Sendable (Told) -> Void)
  }

  /// What the loop is told.
  enum Answer: Sendable {
    /// So many changes are done with, and events up to the last one.
    case done(Int, last: UInt64)
    /// The oldest event that is kept.
    case first(UInt64)
    /// Nothing is kept from now on; what comes is of another epoch.
    case failed(String, epoch: String)
    /// There is a file again, which knows nothing of what was before.
    case renewed(epoch: String)
  }

  private struct Inbox {
    var changes: [Change] = []
    var questions: [Question] = []
    /// Called at the end, when there is to be one.
    var stopped: (@Sendable () -> Void)?
  }

  private let inbox = Mutex(Inbox())
  private let semaphore = Semaphore()
  private let answers = Mutex<[Answer]>([])
  private let answered: @Sendable () -> Void

  /// - Parameter answered: there is something to take.
  init(answered: @escaping @Sendable () -> Void) {
    self.answered = answered
  }

  /// What it has to tell, in order.
  func takeAnswers() -> [Answer] {
    answers.withLock { answers in
      defer { answers = [] }
      return answers
    }
  }

  private func answer(_ answer: Answer) {
    answers.withLock { $0.append(answer) }
    answered()
  }

  /// Starts the thread; calls back with what the file held, or why it cannot be had.
  func start(
    _ file: JournalFile, opened: @escaping @Sendable (Result<JournalFile.Contents, any Error>) -> Void
  ) {
    let body = Body { [self] in
      clinux_name_thread("journal")
      do {
        let keeper = JournalKeeper(file, answer: answer)
        opened(.success(try keeper.open()))
        serve(keeper)
      } catch {
        opened(.failure(error))
      }
    }
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(body)
    let error = pthread_create(&thread, nil, runBody, argument.toOpaque())
    if error != 0 {
      argument.release()
      return opened(.failure(SystemError(error, "pthread_create")))
    }
    pthread_detach(thread)
  }

  func write(_ changes: [Change]) {
    inbox.withLock { $0.changes += changes }
    semaphore.post()
  }

  func ask(_ question: Question) {
    inbox.withLock { $0.questions.append(question) }
    semaphore.post()
  }

  /// Ends the thread once everything is written.
  func stop(then done: @escaping @Sendable () -> Void) {
    inbox.withLock { $0.stopped = done }
    semaphore.post()
  }

  // MARK: - On the thread

  private func serve(_ keeper: JournalKeeper) {
    while true {
      semaphore.wait()
      let work = inbox.withLock { inbox in
        defer { inbox = Inbox(stopped: inbox.stopped) }
        return inbox
      }
      if !work.changes.isEmpty {
        keeper.write(work.changes)
        answer(.done(work.changes.count, last: keeper.last))
      }
      for question in work.questions {
        switch question {
        case .events(let sequence, let limit, let reply): reply(keeper.events(after: sequence, limit: limit))
        case .told(let name, let time, let reply): reply(keeper.told(name, since: time))
        }
      }
      guard let stopped = work.stopped else { continue }
      keeper.close()
      return stopped()
    }
  }
}

private final class Body: Sendable {
  let run: @Sendable () -> Void

  init(_ run: @escaping @Sendable () -> Void) {
    self.run = run
  }
}

private func runBody(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
  return nil
}

/// A semaphore of POSIX's.
private final class Semaphore: @unchecked Sendable {
  // sem_t is made for use by several threads; the pointer never changes.
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  init() { sem_init(semaphore, 0, 0) }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  func post() { sem_post(semaphore) }

  func wait() {
    while sem_wait(semaphore) != 0 && errno == EINTR {}
  }
}
