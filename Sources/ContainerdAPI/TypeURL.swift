internal import FoundationEssentials
package import SwiftProtobuf

/// Type URLs as containerd has them: bare names. containerd 1.6 looks them up literally, so the usual
/// `type.googleapis.com/` in front is "not found" there, and an unknown URL of a spec fails on 2.x.
package enum TypeURL {
  package static let spec = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
  package static let resources = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
  package static let process = "types.containerd.io/opencontainers/runtime-spec/1/Process"
}

extension Google_Protobuf_Any {
  /// A message under its bare name.
  package init(containerd message: some Message) throws {
    self.init()
    typeURL = type(of: message).protoMessageName
    value = try message.serializedBytes()
  }

  /// JSON under one of `TypeURL`.
  package init(json: [UInt8], typeURL: String) {
    self.init()
    self.typeURL = typeURL
    value = Data(json)
  }

  /// The message, where it is of this type; whatever stands before the last slash does not matter.
  package func decode<M: Message>(_ type: M.Type) -> M? {
    guard typeURL.split(separator: "/").last.map(String.init) == M.protoMessageName else { return nil }
    return try? M(serializedBytes: value)
  }
}
