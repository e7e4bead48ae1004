internal import Protocol
internal import Runtime

/// What is to be known of an OCI spec that a client gave, or that containerd has.
enum SpecReader {
  /// Nothing of a spec that cannot be read: runc will say what is wrong with it.
  static func parse(_ spec: [UInt8]) -> JSONValue? {
    spec.withUnsafeBytes { bytes in
      do throws(ProtocolError) { return try JSONParser.parse(bytes) } catch { return nil }
    }
  }

  static func facts(_ spec: [UInt8]) -> SpecFacts {
    var facts = SpecFacts()
    guard let spec = parse(spec), let process = spec["process"] else { return facts }
    facts.terminal = process["terminal"]?.bool ?? false
    facts.ioUID = host(process["user"]?["uid"], spec, "uidMappings")
    facts.ioGID = host(process["user"]?["gid"], spec, "gidMappings")
    return facts
  }

  /// An id of the container as the host has it: through the mappings where there is a user namespace. One that is not
  /// mapped is nobody's, and root keeps what is made for it.
  private static func host(_ id: JSONValue?, _ spec: JSONValue, _ mappings: String) -> UInt32 {
    let id = id?.int ?? 0
    let namespaces = spec["linux"]?["namespaces"]?.array ?? []
    guard namespaces.contains(where: { $0["type"]?.string == "user" }) else {
      return UInt32(exactly: id) ?? 0
    }
    for mapping in spec["linux"]?[mappings]?.array ?? [] {
      guard let inside = mapping["containerID"]?.int, let outside = mapping["hostID"]?.int,
        let size = mapping["size"]?.int, id >= inside, id - inside < size
      else { continue }
      return outside.addingReportingOverflow(id - inside).overflow
        ? 0 : UInt32(exactly: outside + id - inside) ?? 0
    }
    return 0
  }
}
