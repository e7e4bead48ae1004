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
    if let spec = try arguments.object("spec") {
      guard spec["process"]?.object != nil else { throw arguments.missing("spec.process") }
      guard spec["root"]?["path"]?.string != nil else { throw arguments.missing("spec.root.path") }
      source = .spec(spec)
    } else {
      source = .short(try ShortSpec(&arguments))
    }
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
    if let value = arguments.take("mounts") {
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
    guard let args = try arguments.strings("args") else { throw arguments.missing("args") }
    if args.isEmpty { throw arguments.invalid("args", "at least the program") }
    self.args = args
    env = try arguments.strings("env") ?? []
    for entry in env where !entry.dropFirst().contains("=") {
      throw arguments.invalid("env", "an array of NAME=value")
    }
    cwd = try arguments.absolutePath("cwd")
    terminal = try arguments.bool("terminal") ?? false
    user = try ShortProcess.readUser(&arguments)
  }

  /// `1000`, `"1000"`, `"1000:1000"` or an OCI user.
  private static func readUser(_ arguments: inout Arguments) throws(ProtocolError) -> User? {
    let expected = "a uid, \"uid:gid\" or an object with uid and gid"
    let numbers: [JSONValue?]
    var additional: [JSONValue] = []
    switch arguments.take("user") {
    case nil: return nil
    case .int(let uid): numbers = [.int(uid)]
    case .string(let text):
      numbers = text.split(separator: ":", omittingEmptySubsequences: false).map {
        Int64($0).map(JSONValue.int)
      }
    case .object(let members):
      for name in members.keys where !["uid", "gid", "additionalGids"].contains(name) {
        throw ProtocolError(.unknownArgument, "unknown argument: user.\(name)", argument: "user.\(name)")
      }
      numbers = [members["uid"] ?? .int(0), members["gid"] ?? .int(0)]
      guard let gids = (members["additionalGids"] ?? .array([])).array else {
        throw arguments.invalid("user.additionalGids", "an array of gids")
      }
      additional = gids
    default: throw arguments.invalid("user", expected)
    }
    let ids = (numbers + additional.map(Optional.some)).compactMap { $0?.int }.compactMap(
      UInt32.init(exactly:))
    guard (1...2).contains(numbers.count), ids.count == numbers.count + additional.count else {
      throw arguments.invalid("user", expected)
    }
    return User(
      uid: ids[0], gid: numbers.count == 2 ? ids[1] : 0, additionalGids: Array(ids.dropFirst(numbers.count)))
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
    switch arguments.take("filter") {
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
