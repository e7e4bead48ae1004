/// What a container is made from: a whole OCI spec, or the short form that the worker completes.
package struct ContainerDescription: Sendable {
  package enum Source: Sendable {
    case spec([String: JSONValue])
    case short(ShortSpec)
  }

  package let source: Source
  package let runtime: RuntimeChoice?
  package let labels: [String: String]

  init(_ arguments: inout Arguments) throws(ProtocolError) {
    runtime = try arguments.nested("runtime") { nested throws(ProtocolError) in try RuntimeChoice(&nested) }
    labels = try arguments.stringMap("labels") ?? [:]
    let spec = try arguments.object(
      "spec", ContainerDescription.spec, sample: ["process": [:], "root": ["path": "/"]])
    if let spec {
      guard spec["process"]?.object != nil else { throw arguments.missing("spec.process") }
      guard spec["root"]?["path"]?.string != nil else { throw arguments.missing("spec.root.path") }
      source = .spec(spec)
    } else {
      source = .short(try ShortSpec(&arguments))
    }
  }
}

extension ContainerDescription {
  /// What must be in an OCI spec; the rest is the runtime's to judge.
  private static var spec: JSONValue {
    Schema.object(["process": Schema.anyObject, "root": Schema.object(["path": Schema.string])])
  }
}

/// The short form of a spec: what a person says who runs a command in a root file system.
package struct ShortSpec: Sendable {
  package let rootfs: String
  package let readonly: Bool
  package let process: ShortProcess
  package let hostname: String?
  package let mounts: [JSONValue]
  package let resources: [String: JSONValue]?
  package let annotations: [String: String]

  init(_ arguments: inout Arguments) throws(ProtocolError) {
    guard let rootfs = try arguments.absolutePath("rootfs") else { throw arguments.missing("rootfs") }
    self.rootfs = rootfs
    readonly = try arguments.bool("readonly") ?? false
    process = try ShortProcess(&arguments)
    hostname = try arguments.string("hostname")
    if let value = arguments.take("mounts", ShortSpec.mounts, sample: []) {
      guard let elements = value.array, elements.allSatisfy({ $0["destination"]?.string != nil }) else {
        throw arguments.invalid("mounts", "an array of OCI mounts")
      }
      mounts = elements
    } else {
      mounts = []
    }
    resources = try arguments.object("resources")
    annotations = try arguments.stringMap("annotations") ?? [:]
  }
}

extension ShortSpec {
  /// What must be in OCI mounts.
  private static var mounts: JSONValue {
    Schema.array(of: Schema.object(["destination": Schema.string]))
  }
}

/// A process in short form. What an exec leaves out it has from its container.
package struct ShortProcess: Sendable {
  package let args: [String]
  package let env: [String]
  package let cwd: String?
  package let user: User?
  package let terminal: Bool

  package struct User: Sendable, Equatable {
    package var uid: UInt32 = 0
    package var gid: UInt32 = 0
    package var additionalGids: [UInt32] = []

    package init(uid: UInt32 = 0, gid: UInt32 = 0, additionalGids: [UInt32] = []) {
      self.uid = uid
      self.gid = gid
      self.additionalGids = additionalGids
    }
  }

  init(_ arguments: inout Arguments) throws(ProtocolError) {
    guard let args = try arguments.strings("args", atLeast: 1) else { throw arguments.missing("args") }
    if args.isEmpty { throw arguments.invalid("args", "at least the program") }
    self.args = args
    env = try arguments.strings("env", of: Schema.matching("^[\\s\\S]+="), sample: "NAME=value") ?? []
    for entry in env where !entry.dropFirst().contains("=") {
      throw arguments.invalid("env", "an array of NAME=value")
    }
    cwd = try arguments.absolutePath("cwd")
    terminal = try arguments.bool("terminal") ?? false
    user = try ShortProcess.readUser(&arguments)
  }

  /// `1000`, `"1000"`, `"1000:1000"` or an OCI user.
  private static func readUser(_ arguments: inout Arguments) throws(ProtocolError) -> User? {
    let isOCI = arguments.peek("user")?.object != nil
    return try arguments.either(isOCI) { arguments throws(ProtocolError) in
      try arguments.nested("user") { nested throws(ProtocolError) in try User(&nested) }
    } or: { arguments throws(ProtocolError) in
      let numbers: [Int64?]
      switch arguments.take("user", User.short, sample: 0) {
      case nil: return nil
      case .int(let uid): numbers = [uid]
      case .string(let text):
        numbers = text.split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
      default: numbers = []
      }
      let ids = numbers.compactMap { $0 }.compactMap(UInt32.init(exactly:))
      guard (1...2).contains(numbers.count), ids.count == numbers.count else {
        throw arguments.invalid("user", "a uid, \"uid:gid\" or an object with uid and gid")
      }
      return User(uid: ids[0], gid: ids.count == 2 ? ids[1] : 0)
    }
  }
}

extension ShortProcess.User {
  private static let ids = 0...Int64(UInt32.max)

  fileprivate static var short: JSONValue {
    Schema.any([Schema.integer(ids), Schema.matching("^[0-9]+(?::[0-9]+)?$")])
  }

  /// An OCI user.
  fileprivate init(_ arguments: inout Arguments) throws(ProtocolError) {
    uid = UInt32(try arguments.integer("uid", in: Self.ids) ?? 0)
    gid = UInt32(try arguments.integer("gid", in: Self.ids) ?? 0)
    let gids = arguments.take(
      "additionalGids", Schema.array(of: Schema.integer(Self.ids)), sample: [])
    guard let elements = (gids ?? []).array else {
      throw arguments.invalid("additionalGids", "an array of gids")
    }
    additionalGids = elements.compactMap(\.int).compactMap(UInt32.init(exactly:))
    if additionalGids.count < elements.count {
      throw arguments.invalid("additionalGids", "an array of gids")
    }
  }
}

/// NewContainer: metadata and a directory for its FIFOs; nothing runs yet.
package struct ContainerCreate: Command {
  package static let name = "container.create"
  package let container: String
  package let description: ContainerDescription
  /// Deletes a container of this id, with its task, first.
  package let replace: Bool

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    replace = try arguments.bool("replace") ?? false
    description = try ContainerDescription(&arguments)
  }
}

/// LoadContainer and Task: what containerd and the worker know of a container.
package struct ContainerInspect: Command {
  package static let name = "container.inspect"
  package let container: String

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
  }
}

/// The containers of the namespace.
package struct ContainerList: Command {
  package static let name = "container.list"
  /// containerd's own filters; one that holds is enough.
  package let filter: [String]

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    switch arguments.take("filter", ContainerList.forms, sample: []) {
    case nil: filter = []
    case .string(let text): filter = [text]
    case .array(let elements):
      let texts = elements.compactMap(\.string)
      guard texts.count == elements.count else {
        throw arguments.invalid("filter", "a string or an array of them")
      }
      filter = texts
    default: throw arguments.invalid("filter", "a string or an array of them")
    }
  }
}

extension ContainerList {
  private static var forms: JSONValue { Schema.any([Schema.string, Schema.array(of: Schema.string)]) }
}

/// Container.Delete. Refused while there is a task, unless forced.
package struct ContainerDelete: Command {
  package static let name = "container.delete"
  package let container: String
  package let force: Bool

  package init(_ arguments: inout Arguments) throws(ProtocolError) {
    container = try arguments.container()
    force = try arguments.bool("force") ?? false
  }
}
