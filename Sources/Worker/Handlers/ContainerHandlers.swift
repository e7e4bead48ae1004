internal import FIFOIO
internal import Protocol
internal import Runtime

extension ContainerCreate: HandledCommand {
  var route: Route { .container(container) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let server = context.server
    var hasReplaced = false
    if replace {
      do throws(RuntimeError) {
        try await server.runtime.delete(container, force: true)
        hasReplaced = true
      } catch {
        if error.kind != .notFound { throw ProtocolError(error, container: container) }
      }
    }
    do throws(ProtocolError) {
      let created = try await description.create(container, context)
      return ["container": .string(container), "bundle": .string(created.bundle)]
    } catch {
      var error = error
      // The one that was there is gone.
      if hasReplaced, error.effect == Effect.none { error.effect = .unknown }
      throw error
    }
  }
}

extension ContainerDescription {
  /// Creates the container that this describes.
  @Loop
  func create(
    _ id: String, _ context: CommandContext, endsWith end: OnDisconnect? = nil
  ) async throws(ProtocolError) -> Container {
    let server = context.server
    let spec: JSONValue =
      switch source {
      case .spec(let members): .object(members)
      case .short(let short): SpecBuilder.spec(short, container: id, namespace: server.options.namespace)
      }
    var labels = labels
    labels[ContainerRuntime.keyLabel] = context.ticket.request.key
    labels[ContainerRuntime.orphanLabel] = end == .kill ? "1" : nil
    labels[ContainerRuntime.runLabel] = end == .keep ? "1" : nil
    let new = NewContainer(
      id: id, spec: spec.encoded, labels: labels, shim: try shim(byDefault: server.options.runtime))
    return try await translating(container: id) { () async throws(RuntimeError) in
      try await server.runtime.create(new)
    }
  }
}

extension ContainerDescription {
  private func shim(byDefault name: String) throws(ProtocolError) -> ShimChoice {
    let name = runtime?.name ?? name
    switch runtime?.options {
    case nil: return ShimChoice(name: name, options: nil)
    case .runc(let options) where RuntimeChoice.takesRuncOptions(name):
      return ShimChoice(name: name, options: .runc(RuncOptions(options)))
    case .generic(let options) where !RuntimeChoice.takesRuncOptions(name):
      return ShimChoice(name: name, options: .generic(GenericOptions(options)))
    default:
      throw ProtocolError(
        .invalidArgument, "these are no options of \(name)", argument: "runtime.options")
    }
  }
}

extension GenericOptions {
  fileprivate init(_ options: RuntimeChoice.Generic) {
    self.init()
    typeURL = options.typeURL
    configPath = options.configPath
    configBody = options.configBody
  }
}

extension RuncOptions {
  fileprivate init(_ options: RuntimeChoice.Runc) {
    self.init()
    binaryName = options.binaryName
    root = options.root
    shimCgroup = options.shimCgroup
    systemdCgroup = options.systemdCgroup
    noPivotRoot = options.noPivotRoot
    noNewKeyring = options.noNewKeyring
    ioUID = options.ioUID
    ioGID = options.ioGID
  }
}

extension ContainerInspect: HandledCommand {
  var route: Route { .container(container) }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let runtime = context.server.runtime
    let (metadata, container) = try await translating(container: container) { () async throws(RuntimeError) in
      (try await runtime.metadata(self.container), try await runtime.load(self.container))
    }
    var members = metadata.json
    members["bundle"] = .string(container.bundle)
    members["spec"] = SpecReader.parse(metadata.spec) ?? .null
    members["task"] = container.task.map { $0.description(in: container) } ?? .null
    members["processes"] = .array(
      container.processes.sorted { ($0.exec ?? "") < ($1.exec ?? "") }.map { $0.description(in: container) })
    return .object(members)
  }
}

extension ContainerProcess {
  /// What is known of it here, without asking containerd.
  func description(in container: Container) -> JSONValue {
    var members: [String: JSONValue] = [
      "process": .string(name.description), "pid": .int(Int64(pid)),
      "status": .string(statusName(isPaused: container.isPaused)),
      "terminal": .bool(fifos.terminal), "stdin": .bool(!fifos.stdin.isEmpty),
    ]
    if let exit = life.exit { members.merge(exit.json) { _, new in new } }
    return .object(members)
  }

  /// As containerd names it, from what is known here.
  func statusName(isPaused: Bool) -> String {
    if life.exit != nil { return "stopped" }
    return life.phase < .started ? "created" : isPaused ? "paused" : "running"
  }
}

extension ContainerSummary {
  var json: [String: JSONValue] {
    [
      "container": .string(id),
      "labels": .object(labels.mapValues(JSONValue.string)),
      "image": .string(image),
      "runtime": .string(runtime),
      "created_at": createdAt.map { .string(Time.format($0)) } ?? .null,
    ]
  }
}

extension ContainerList: HandledCommand {
  var route: Route { .free }
  var changes: Bool { false }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    let listed = try await translating { () async throws(RuntimeError) in
      try await context.server.runtime.list(filter)
    }
    return ["containers": .array(listed.sorted { $0.id < $1.id }.map { .object($0.json) })]
  }
}

extension ContainerDelete: HandledCommand {
  var route: Route { .container(container) }

  func run(_ context: CommandContext) async throws(ProtocolError) -> JSONValue {
    try await translating(container: container) { () async throws(RuntimeError) in
      try await context.server.runtime.delete(container, force: force)
    }
    return ["container": .string(container)]
  }
}
