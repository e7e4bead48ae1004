/// A lifecycle event as it was told.
package struct StoredEvent: Sendable, Equatable {
  package let sequence: UInt64
  /// When, in nanoseconds since 1970.
  package let time: Int64
  package let name: String
  /// Nil where it is about no container.
  package let container: String?
  /// The whole line, with its end.
  package let line: [UInt8]

  package init(sequence: UInt64, time: Int64, name: String, container: String?, line: [UInt8]) {
    self.sequence = sequence
    self.time = time
    self.name = name
    self.container = container
    self.line = line
  }
}

/// A command with an idempotency key.
package struct StoredKey: Sendable, Equatable {
  package let key: String
  /// Tells whether a later command of this key is the same one.
  package let fingerprint: [UInt8]
  /// When it came, and once there is a reply when that did, in nanoseconds since 1970.
  package var time: Int64
  /// What it was answered; nil while it runs, or where it was cut short.
  package var reply: Reply?
  /// What is known of a start that was cut short, once somebody has looked.
  package var trace: Trace?

  package enum Reply: Sendable, Equatable {
    /// JSON.
    case result([UInt8])
    case error([UInt8])
  }

  package enum Trace: Sendable, Equatable {
    /// Nobody can tell any more whether it has run.
    case mayHaveRun
    /// It has: the result of a start, as JSON.
    case started([UInt8])
  }

  package init(key: String, fingerprint: [UInt8], time: Int64) {
    self.key = key
    self.fingerprint = fingerprint
    self.time = time
  }
}

/// What containerd cannot tell of a process after a restart of the worker.
package struct ProcessRecord: Sendable, Equatable {
  package var container: String
  /// Empty for the init process.
  package var exec: String
  /// A worker started it, not another client.
  package var isOwn: Bool
  package var pid: UInt32
  /// The last thing that was told of it, by its place in a process's life.
  package var phase: Int
  /// Empty where there is no such stream.
  package var stdin: String
  package var stdout: String
  package var stderr: String
  package var terminal: Bool
  /// Bytes of each output that are kept while nobody reads.
  package var backlog: Int
  /// What happens when it is full.
  package var overflow: String
  /// The idempotency key of the command that started it.
  package var key: String
  /// What becomes of it when the connection that started it goes, as its worker's death makes it.
  package var orphan: Orphan
  /// How it ended, once that was told: the exit code or -1, seconds and nanoseconds since 1970, and who knew.
  package var exit: Exit?

  package enum Orphan: Int, Sendable {
    case stays, dies
    /// With its container.
    case goes
  }

  package struct Exit: Sendable, Equatable {
    package let code: Int64
    package let seconds: Int64
    package let nanoseconds: Int32
    package let outOfMemory: Bool
    package let source: String

    package init(code: Int64, seconds: Int64, nanoseconds: Int32, outOfMemory: Bool, source: String) {
      self.code = code
      self.seconds = seconds
      self.nanoseconds = nanoseconds
      self.outOfMemory = outOfMemory
      self.source = source
    }
  }

  package init(container: String, exec: String) {
    self.container = container
    self.exec = exec
    isOwn = true
    pid = 0
    phase = 0
    (stdin, stdout, stderr, terminal) = ("", "", "", false)
    (backlog, overflow) = (0, "")
    key = ""
    orphan = .stays
  }
}

/// One thing that is written.
package enum Change: Sendable {
  case event(StoredEvent)
  /// A key that is new, or its reply.
  case key(StoredKey)
  case forgetKey(String)
  case process(ProcessRecord)
  case forgetProcess(container: String, exec: String)
  /// Events up to this one are not needed any more.
  case acknowledge(UInt64)
}

/// What the journal has of events of one name since some time.
package struct Told: Sendable, Equatable {
  /// When the last one was, by container.
  package internal(set) var last: [String: Int64] = [:]
  /// None of them has been dropped.
  package internal(set) var isComplete = false

  /// Whether there is one of a container since a time; nil where it may have been dropped.
  package func has(_ container: String, since time: Int64) -> Bool? {
    last[container, default: .min] >= time ? true : isComplete ? false : nil
  }
}
