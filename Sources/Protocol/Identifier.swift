/// containerd's rule for ids of containers, execs and namespaces (identifiers.Validate), checked before anything is
/// done: an id then can't leave its directory and is a legal header value.
package enum Identifier {
  package static let rule = "letters and digits with inner single . _ or -, at most 76 bytes"

  package static func isValid(_ id: String) -> Bool {
    let bytes = Array(id.utf8)
    guard (1...76).contains(bytes.count), let first = bytes.first, let last = bytes.last else { return false }
    guard isAlphanumeric(first), isAlphanumeric(last) else { return false }
    return zip(bytes, bytes.dropFirst()).allSatisfy { byte, next in
      isAlphanumeric(byte) ? isAlphanumeric(next) || isSeparator(next) : isAlphanumeric(next)
    } && bytes.allSatisfy { isAlphanumeric($0) || isSeparator($0) }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "a")...UInt8(ascii: "z"):
      true
    default: false
    }
  }

  private static func isSeparator(_ byte: UInt8) -> Bool {
    [UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-")].contains(byte)
  }
}

/// A process of a container.
package enum ProcessName: Sendable, Hashable, CustomStringConvertible {
  /// The container's first process, `init` on the wire.
  case initial
  case exec(String)

  package var description: String {
    switch self {
    case .initial: "init"
    case .exec(let id): id
    }
  }
}

/// The streams of a process.
package enum StreamName: String, Sendable, CaseIterable {
  case stdin, stdout, stderr
}

/// How output stands in a line.
package enum Encoding: String, Sendable, CaseIterable {
  /// Text where the chunk is valid UTF-8, else base64.
  case auto
  /// Always text: what is not UTF-8 becomes U+FFFD.
  case text
  case base64
}
