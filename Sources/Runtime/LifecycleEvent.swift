/// How a process ended.
package struct ExitStatus: Sendable, Equatable {
  package enum Source: String, Sendable {
    case event, wait, reconcile, lost
  }

  /// Nil where nobody can tell any more.
  package var code: UInt32?
  package var exitedAt: Timestamp?
  package var source: Source
  package var outOfMemory = false

  package init(code: UInt32?, exitedAt: Timestamp?, source: Source) {
    self.code = code
    self.exitedAt = exitedAt
    self.source = source
  }
}

/// A point in time, as containerd tells it.
package struct Timestamp: Sendable, Equatable {
  /// Since 1970, in seconds.
  package let seconds: Int64
  package let nanoseconds: Int32

  package init(seconds: Int64, nanoseconds: Int32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// Both in nanoseconds; more than 136 years from 1970 counts as that. protobuf's go up to the year 9999, which has no
  /// number here.
  var total: Int64 {
    min(max(seconds, -1 << 32), 1 << 32) * 1_000_000_000 + Int64(nanoseconds)
  }
}

/// What became of one output stream, or of stdin.
package struct StreamSummary: Sendable, Equatable {
  package let stream: Stream
  package let bytes: UInt64
  /// `eof`, `timeout`, `lost`, or `none` for a stream that the process did not have.
  package let end: String
}

/// The streams of a process.
package enum Stream: String, Sendable, CaseIterable {
  case stdin, stdout, stderr
}

/// What happened to containers, tasks and processes. Exec is nil for the init process.
package enum LifecycleEvent: Sendable, Equatable {
  case containerCreated(String)
  case containerDeleted(String)
  case taskCreated(String, pid: UInt32)
  case taskStarted(String, pid: UInt32)
  case taskPaused(String)
  case taskResumed(String)
  case taskOutOfMemory(String)
  case taskCheckpointed(String)
  case taskDeleted(String, ExitStatus?)
  case processAdded(String, exec: String)
  case processStarted(String, exec: String, pid: UInt32)
  case processExited(String, exec: String?, pid: UInt32, ExitStatus)
  case processClosed(String, exec: String?, pid: UInt32, ExitStatus, streams: [StreamSummary])
  case containerdDisconnected(reason: String)
  case containerdConnected(tasks: Int, exits: Int)

  /// Nil where it is about no container.
  package var container: String? {
    switch self {
    case .containerCreated(let id), .containerDeleted(let id), .taskPaused(let id), .taskResumed(let id),
      .taskOutOfMemory(let id), .taskCheckpointed(let id), .taskCreated(let id, _), .taskStarted(let id, _),
      .taskDeleted(let id, _), .processAdded(let id, _), .processStarted(let id, _, _),
      .processExited(let id, _, _, _), .processClosed(let id, _, _, _, _):
      id
    case .containerdDisconnected, .containerdConnected: nil
    }
  }
}
