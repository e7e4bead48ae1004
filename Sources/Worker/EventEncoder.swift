internal import FIFOIO
internal import Journal
internal import Protocol
internal import Runtime

/// Lifecycle events as lines, numbered without a gap within an epoch, on their way through the journal.
enum EventEncoder {
  /// The next event.
  @Loop
  static func record(_ event: LifecycleEvent, in journal: Journal) -> StoredEvent {
    record(name(of: event), container: event.container, in: journal) { write(event, &$0) }
  }

  @Loop
  static func record(
    _ name: EventName, container: String? = nil, in journal: Journal,
    _ members: (inout JSONWriter) -> Void = { _ in }
  ) -> StoredEvent {
    let (sequence, time) = (journal.nextSequence(), Time.nanoseconds)
    var bytes: [UInt8] = []
    ServerLine.write(into: &bytes) { writer in
      writer.field("event", name.rawValue)
      writer.field("seq", sequence)
      writer.field("time", Time.format(nanoseconds: time))
      members(&writer)
    }
    let event = StoredEvent(
      sequence: sequence, time: time, name: name.rawValue, container: container, line: bytes)
    journal.append(.event(event))
    return event
  }

  private static func name(of event: LifecycleEvent) -> EventName {
    switch event {
    case .containerCreated: .containerCreated
    case .containerDeleted: .containerDeleted
    case .taskCreated: .taskCreated
    case .taskStarted: .taskStarted
    case .taskPaused: .taskPaused
    case .taskResumed: .taskResumed
    case .taskOutOfMemory: .taskOutOfMemory
    case .taskCheckpointed: .taskCheckpointed
    case .taskDeleted: .taskDeleted
    case .processAdded: .processAdded
    case .processStarted: .processStarted
    case .processExited: .processExited
    case .processClosed: .processClosed
    case .containerdDisconnected: .containerdDisconnected
    case .containerdConnected: .containerdConnected
    }
  }

  private static func write(_ event: LifecycleEvent, _ writer: inout JSONWriter) {
    switch event {
    case .containerCreated(let id), .containerDeleted(let id), .taskPaused(let id), .taskResumed(let id),
      .taskOutOfMemory(let id), .taskCheckpointed(let id):
      writer.field("container", id)
    case .taskCreated(let id, let pid), .taskStarted(let id, let pid):
      writer.field("container", id)
      writer.field("pid", pid)
    case .taskDeleted(let id, let exit):
      writer.field("container", id)
      if let exit { write(exit, &writer) }
    case .processAdded(let id, let exec):
      writer.field("container", id)
      writer.field("process", exec)
    case .processStarted(let id, let exec, let pid):
      writer.field("container", id)
      writer.field("process", exec)
      writer.field("pid", pid)
    case .processExited(let id, let exec, let pid, let exit):
      write(id, exec, pid, exit, &writer)
    case .processClosed(let id, let exec, let pid, let exit, let streams):
      write(id, exec, pid, exit, &writer)
      for stream in streams { write(stream, &writer) }
    case .containerdDisconnected(let reason):
      writer.field("reason", reason)
    case .containerdConnected(let tasks, let exits):
      writer.field("tasks", tasks)
      writer.field("exits", exits)
    }
  }

  private static func write(
    _ id: String, _ exec: String?, _ pid: UInt32, _ exit: ExitStatus, _ writer: inout JSONWriter
  ) {
    writer.field("container", id)
    writer.field("process", exec ?? "init")
    writer.field("pid", pid)
    write(exit, &writer)
  }

  static func write(_ exit: ExitStatus, _ writer: inout JSONWriter) {
    if let code = exit.code { writer.field("exit_code", code) } else { writer.null("exit_code") }
    if let time = exit.exitedAt {
      writer.field("exited_at", Time.format(time))
    } else {
      writer.null("exited_at")
    }
    writer.field("oom", exit.outOfMemory)
    writer.field("source", exit.source.rawValue)
  }

  static func write(_ stream: StreamSummary, _ writer: inout JSONWriter) {
    let body: (inout JSONWriter) -> Void = {
      $0.field("bytes", stream.bytes)
      $0.field("end", stream.end)
    }
    switch stream.stream {
    case .stdin: writer.object("stdin", body)
    case .stdout: writer.object("stdout", body)
    case .stderr: writer.object("stderr", body)
    }
  }
}

extension ExitStatus {
  /// The members of results that tell an exit.
  var json: [String: JSONValue] {
    [
      "exit_code": code.map { .int(Int64($0)) } ?? .null,
      "exited_at": exitedAt.map { .string(Time.format($0)) } ?? .null,
      "oom": .bool(outOfMemory),
    ]
  }
}
