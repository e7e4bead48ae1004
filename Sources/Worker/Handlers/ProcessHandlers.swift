internal import FIFOIO
internal import Journal
internal import Protocol
internal import Runtime

extension StdioArguments {
  @Loop
  func options(
    _ context: CommandContext, orphan: ProcessRecord.Orphan = .stays, checkpoint: String? = nil
  ) -> ContainerRuntime.StartOptions {
    var output = OutputOptions()
    output.backlog = options.backlog
    output.overflow = options.overflow == .drop ? .drop : .block
    var start = ContainerRuntime.StartOptions(
      stdin: stdin, output: output, size: size.map { WindowSize(columns: $0.columns, rows: $0.rows) },
      checkpoint: checkpoint)
    start.origin = Origin(key: context.ticket.request.key ?? "", orphan: orphan)
    return start
  }

  /// Attaches the connection before the process runs.
  @Loop
  func attach(_ process: ContainerProcess, to connection: Connection) {
    guard let attach else { return }
    switch attach.mode {
    case .json:
      // A new process has no reader and no bytes yet, so nothing stands against it.
      _ = try? process.attach(attach, to: connection)
    case .fd:
      // From the first byte on the client reads itself, once the reply has brought it there.
      for stream in attach.streams { process.reader(stream)?.hold() }
    case .pipe: break
    }
  }
}

extension StdioArguments {
  /// What tells of a start, with the descriptors that were asked for; only then comes the exit.
  @Loop
  func result(of process: ContainerProcess, _ context: CommandContext) async throws(ProtocolError)
    -> JSONValue
  {
    var members = process.started
    context.ticket.afterReplying { process.announce() }
    if let attach, attach.mode != .json {
      do throws(ProtocolError) {
        members.merge(try await process.giveAway(attach, context).object ?? [:]) { own, _ in own }
      } catch {
        for stream in attach.streams { process.reader(stream)?.endHold() }
        var error = error
        // It runs.
        error.effect = .unknown
        throw error
      }
    }
    return .object(members)
  }
}

extension ContainerProcess {
  /// The members that tell of its start.
  var started: [String: JSONValue] {
    [
      "container": .string(container), "process": .string(name.description), "pid": .int(Int64(pid)),
    ]
  }
}

extension ProcessExec: HandledCommand {
  var route: Route { .container(container) }
  var handsOver: Bool { stdio.attach.map { $0.mode != .json } ?? false }
  var holdsStdio: (container: String, process: ProcessName)? { (container, .exec(process)) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try context.connection.checkTakes(stdio.attach)
    let runtime = context.server.runtime
    let started = try await translating(container: container, process: .exec(process)) {
      () async throws(RuntimeError) in
      let spec = self.spec(for: try await runtime.load(container))
      return try await runtime.exec(
        container, exec: process, spec: spec.encoded, terminal: spec["terminal"]?.bool ?? false,
        stdio.options(context, orphan: onDisconnect == .kill ? .dies : .stays)
      ) {
        stdio.attach($0, to: context.connection)
        if onDisconnect == .kill { context.connection.attachments.own($0) }
      }
    }
    if onDisconnect == .kill, context.connection.isGone { context.server.kill(started) }
    return try await stdio.result(of: started, context)
  }

  @Loop
  private func spec(for container: Container) -> JSONValue {
    switch source {
    case .spec(let members): return .object(members)
    case .short(let short):
      return SpecBuilder.exec(short, in: container.metadata.flatMap { SpecReader.parse($0.spec) })
    }
  }
}

extension ProcessKill: HandledCommand {
  var route: Route { .outOfBand }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try await translating(container: container, process: process) { () async throws(RuntimeError) in
      try await context.server.runtime.kill(container, exec: process.exec, signal: signal, all: all)
    }
    return [:]
  }
}

extension ProcessResize: HandledCommand {
  // Behind a start that came before, and beside what may hold up the container's lane.
  var route: Route { .output(container, process) }
  // What is typed after it is meant for the new size.
  var holdsStdio: (container: String, process: ProcessName)? { (container, process) }
  var isRepeatable: Bool { true }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try await translating(container: container, process: process) { () async throws(RuntimeError) in
      try await context.server.runtime.resize(
        container, exec: process.exec, WindowSize(columns: size.columns, rows: size.rows))
    }
    return [:]
  }
}

extension ProcessStatus: HandledCommand {
  var route: Route { .container(container) }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let report = try await translating(container: container, process: process) {
      () async throws(RuntimeError) in
      try await context.server.runtime.status(container, exec: process.exec)
    }
    var members: [String: JSONValue] = [
      "container": .string(container), "process": .string(process.description),
      "status": .string(report.status), "pid": .int(Int64(report.pid)),
    ]
    if let exit = report.exit { members.merge(exit.json) { _, new in new } }
    return .object(members)
  }
}

extension ProcessDelete: HandledCommand {
  var route: Route { .container(container) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let exit = try await translating(container: container, process: process) {
      () async throws(RuntimeError) in
      switch process {
      case .initial: try await context.server.runtime.deleteTask(container, force: false)
      case .exec(let exec): try await context.server.runtime.deleteExec(container, exec)
      }
    }
    return .object(exit.json)
  }
}
