/// The life of one process of one generation: added, started, exited, closed, deleted; each told once and in this
/// order, whatever order the news come in. Pure: returns what to tell.
package struct ProcessLife: Sendable, Equatable {
  package enum Phase: Int, Sendable, Comparable {
    case new, added, started, exited, closed, deleted
    package static func < (a: Phase, b: Phase) -> Bool { a.rawValue < b.rawValue }
  }

  package enum News: Sendable, Equatable {
    case added
    case started
    case exited(ExitStatus)
    case closed(ExitStatus)
  }

  package private(set) var phase = Phase.new
  package private(set) var exit: ExitStatus?
  /// Exits are held back until whoever started the process has its reply.
  private var announced = false
  private var drained = false

  package init() {}

  package mutating func added() -> [News] {
    guard phase == .new else { return [] }
    phase = .added
    return [.added]
  }

  /// Start has answered.
  package mutating func started() -> [News] {
    guard phase < .started else { return [] }
    let news = added()
    phase = .started
    return news + [.started]
  }

  /// Known from elsewhere, and told then.
  package mutating func adopt(running: Bool) {
    phase = running ? .started : .added
    announced = true
  }

  /// As an earlier worker left it, which told of everything up to there.
  ///
  /// - Parameter waitsForReply: whether a start may be under way here. Else whoever started it has its reply, or will not get
  ///   it any more.
  package mutating func restore(_ phase: Phase, _ exit: ExitStatus?, waitsForReply: Bool) {
    self.phase = phase
    self.exit = exit
    announced = !waitsForReply
  }

  /// The starter has been told: an exit may follow.
  package mutating func announce() -> [News] {
    announced = true
    return settle()
  }

  /// The first exit counts; others confirm it.
  package mutating func exited(_ status: ExitStatus) -> [News] {
    guard exit == nil else { return [] }
    exit = status
    return settle()
  }

  /// All output is with its reader, or given up.
  package mutating func outputEnded() -> [News] {
    drained = true
    return settle()
  }

  package mutating func deleted() {
    phase = .deleted
  }

  private mutating func settle() -> [News] {
    var news: [News] = []
    guard let exit, announced else { return news }
    // It has run, then; nobody will tell of its start any more.
    if phase == .added {
      phase = .started
      news.append(.started)
    }
    if phase == .started {
      phase = .exited
      news.append(.exited(exit))
    }
    if phase == .exited, drained {
      phase = .closed
      news.append(.closed(exit))
    }
    return news
  }
}
