internal import ContainerdAPI
internal import FoundationEssentials
internal import SwiftProtobuf

/// A shim by its name, and the options that it gets.
package struct ShimChoice: Sendable, Equatable {
  package var name: String
  package var options: Options?

  package init(name: String, options: Options?) {
    self.name = name
    self.options = options
  }

  package enum Options: Sendable, Equatable {
    case runc(RuncOptions)
    case generic(GenericOptions)
    /// Another client's, in a message that is not known here; left to containerd.
    case other
  }

  /// Those of runc's shim; the defaults where none are set. Nil for other shims.
  var runc: RuncOptions? {
    switch options {
    case .runc(let options): options
    case nil: name.hasPrefix("io.containerd.runc.") ? RuncOptions() : nil
    case .generic, .other: nil
    }
  }
}

/// Options of `io.containerd.runc.v2`; what is not set is the shim's default.
package struct RuncOptions: Sendable, Equatable {
  package var binaryName = ""
  package var root = ""
  package var shimCgroup = ""
  package var systemdCgroup = false
  package var noPivotRoot = false
  package var noNewKeyring = false
  package var ioUID: UInt32 = 0
  package var ioGID: UInt32 = 0
  /// A directory with a checkpoint to go on from.
  var checkpoint = ""

  package init() {}
}

/// Options of shims that have no message of their own.
package struct GenericOptions: Sendable, Equatable {
  package var typeURL = ""
  package var configPath = ""
  package var configBody = ""

  package init() {}
}

// MARK: - As containerd has them

extension ShimChoice {
  init(_ runtime: CDContainer.Runtime) {
    name = runtime.name
    if !runtime.hasOptions || runtime.options.typeURL.isEmpty {
      options = nil
    } else if let found = runtime.options.decode(CDOptions.self) {
      options = .runc(RuncOptions(found))
    } else if let found = runtime.options.decode(RuntimeOptionsOptions.self) {
      options = .generic(GenericOptions(found))
    } else {
      options = .other
    }
  }

  /// Nothing where there are none of our making.
  func encodedOptions() throws -> Google_Protobuf_Any? {
    switch options {
    case .runc(let options): try .init(containerd: options.message)
    case .generic(let options): try .init(containerd: options.message)
    case .other, nil: nil
    }
  }
}

extension RuncOptions {
  fileprivate init(_ found: CDOptions) {
    binaryName = found.binaryName
    root = found.root
    shimCgroup = found.shimCgroup
    systemdCgroup = found.systemdCgroup
    noPivotRoot = found.noPivotRoot
    noNewKeyring = found.noNewKeyring
    ioUID = found.ioUid
    ioGID = found.ioGid
  }

  var message: CDOptions {
    var options = CDOptions()
    options.binaryName = binaryName
    options.root = root
    options.shimCgroup = shimCgroup
    options.systemdCgroup = systemdCgroup
    options.noPivotRoot = noPivotRoot
    options.noNewKeyring = noNewKeyring
    options.ioUid = ioUID
    options.ioGid = ioGID
    options.criuImagePath = checkpoint
    return options
  }
}

extension GenericOptions {
  fileprivate init(_ found: RuntimeOptionsOptions) {
    typeURL = found.typeURL
    configPath = found.configPath
    configBody = String(decoding: found.configBody, as: UTF8.self)
  }

  fileprivate var message: RuntimeOptionsOptions {
    var options = RuntimeOptionsOptions()
    options.typeURL = typeURL
    options.configPath = configPath
    options.configBody = Data(configBody.utf8)
    return options
  }
}
