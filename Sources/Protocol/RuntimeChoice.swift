/// Which shim runs a container, and its options.
package struct RuntimeChoice: Sendable, Equatable {
  package var name: String?
  package var options: Options?

  package enum Options: Sendable, Equatable {
    case runc(Runc)
    case generic(Generic)
  }

  /// Options of `io.containerd.runc.v2`, by their names in its protobuf message; absent is the shim's default.
  package struct Runc: Sendable, Equatable {
    package let binaryName: String
    package let root: String
    package let shimCgroup: String
    package let systemdCgroup: Bool
    package let noPivotRoot: Bool
    package let noNewKeyring: Bool
    package let ioUID: UInt32
    package let ioGID: UInt32

    init(_ arguments: inout Arguments) throws(ProtocolError) {
      binaryName = try arguments.string("binary_name") ?? ""
      root = try arguments.string("root") ?? ""
      shimCgroup = try arguments.string("shim_cgroup") ?? ""
      systemdCgroup = try arguments.bool("systemd_cgroup") ?? false
      noPivotRoot = try arguments.bool("no_pivot_root") ?? false
      noNewKeyring = try arguments.bool("no_new_keyring") ?? false
      ioUID = UInt32(try arguments.integer("io_uid", in: 0...Int64(UInt32.max)) ?? 0)
      ioGID = UInt32(try arguments.integer("io_gid", in: 0...Int64(UInt32.max)) ?? 0)
    }
  }

  /// What every other shim gets: `runtimeoptions.v1.Options`.
  package struct Generic: Sendable, Equatable {
    package let typeURL: String
    package let configPath: String
    package let configBody: String

    init(_ arguments: inout Arguments) throws(ProtocolError) {
      typeURL = try arguments.string("type_url") ?? ""
      configPath = try arguments.string("config_path") ?? ""
      configBody = try arguments.string("config_body") ?? ""
    }
  }

  /// True for runc's own shim. Another one that is given runc's options may die of them, and the other way round.
  package static func takesRuncOptions(_ name: String) -> Bool {
    name.hasPrefix("io.containerd.runc.")
  }

  private static let genericNames: Set = ["type_url", "config_path", "config_body"]

  init(_ arguments: inout Arguments) throws(ProtocolError) {
    name = try arguments.string("name")
    // Without a name the names of the options tell: which runtime is the default is not known here.
    let members = arguments.peek("options")?.object?.keys
    let isRunc =
      name.map(RuntimeChoice.takesRuncOptions)
      ?? !(members?.contains(where: RuntimeChoice.genericNames.contains) ?? false)
    options = try arguments.either(isRunc) { arguments throws(ProtocolError) in
      try arguments.nested("options") { nested throws(ProtocolError) in .runc(try Runc(&nested)) }
    } or: { arguments throws(ProtocolError) in
      try arguments.nested("options") { nested throws(ProtocolError) in .generic(try Generic(&nested)) }
    }
  }
}
