import ContainerdAPI
import FIFOIO
import Foundation
import Journal
import SwiftProtobuf
import Testing

@testable import Runtime
import TestSupport

/// Another client of a runtime's containerd, with calls of its own.
@Loop
struct OtherClient {
  let containerd: Containerd

  /// - Parameter shim: its name, or its path.
  func createContainer(_ id: String, shim: String = "io.containerd.runc.v2") async throws {
    var request = CDCreateContainerRequest()
    request.container.id = id
    request.container.runtime.name = shim
    request.container.spec = Google_Protobuf_Any(
      json: Array(try await spec(id).utf8), typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec")
    _ = try await containerd.call(ContainerdService.Containers.create, request)
  }

  /// - Parameter stdout: of stderr, too, as containerd takes it; empty for no stdio.
  /// - Returns: its pid.
  func createTask(_ id: String, stdout: String = "") async throws -> UInt32 {
    var request = CDCreateTaskRequest()
    (request.containerID, request.stdout, request.stderr) = (id, stdout, stdout)
    return try await containerd.call(ContainerdService.Tasks.create, request).pid
  }

  func startTask(_ id: String, stdout: String = "") async throws -> UInt32 {
    let pid = try await createTask(id, stdout: stdout)
    var request = CDStartRequest()
    request.containerID = id
    _ = try await containerd.call(ContainerdService.Tasks.start, request)
    return pid
  }

  /// Without stdio.
  func startExec(_ id: String, _ exec: String) async throws {
    var request = CDExecProcessRequest()
    (request.containerID, request.execID) = (id, exec)
    request.spec = Google_Protobuf_Any(
      json: Array(Self.process.utf8), typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Process")
    _ = try await containerd.call(ContainerdService.Tasks.exec, request)
    var start = CDStartRequest()
    (start.containerID, start.execID) = (id, exec)
    _ = try await containerd.call(ContainerdService.Tasks.start, start)
  }

  func end(_ id: String) async throws {
    var kill = CDKillRequest()
    (kill.containerID, kill.signal, kill.all) = (id, 9, true)
    _ = try await containerd.call(ContainerdService.Tasks.kill, kill)
    var wait = CDWaitRequest()
    wait.containerID = id
    _ = try await containerd.call(ContainerdService.Tasks.wait, wait)
  }

  func deleteTask(_ id: String) async throws {
    var request = CDDeleteTaskRequest()
    request.containerID = id
    _ = try await containerd.call(ContainerdService.Tasks.delete, request)
  }

  /// A container, with its task if it has one.
  func remove(_ id: String) async throws {
    if (try? await status(id)) != nil {
      try await end(id)
      try await deleteTask(id)
    }
    var request = CDDeleteContainerRequest()
    request.id = id
    _ = try await containerd.call(ContainerdService.Containers.delete, request)
  }

  func status(_ id: String, exec: String = "") async throws -> CDProcess {
    var request = CDGetRequest()
    (request.containerID, request.execID) = (id, exec)
    return try await containerd.call(ContainerdService.Tasks.get, request).process
  }

  static let process =
    #"{"args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}"#

  private func spec(_ id: String) async throws -> String {
    """
    {"ociVersion": "1.0.2", "root": {"path": "\(try await RootFilesystem.busybox())"},
    "process": \(Self.process),
    "mounts": [
      {"destination": "/proc", "type": "proc", "source": "proc"},
      {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}
    ],
    "linux": {
      "cgroupsPath": "/\(containerd.namespace)/\(id)", "namespaces": [{"type": "pid"}, {"type": "mount"}]
    }}
    """
  }
}

/// A runtime on the shared containerd, which has a container "c" of another client's.
func withOtherClient(
  journal: Journal? = nil, _ body: @Loop (ContainerRuntime, Told, OtherClient) async throws -> Void
) async throws {
  let address = try await PrivateContainerd.shared().address
  try await withRuntime(at: address, stateDirectory: try Sandbox.newDirectory("s"), journal: journal) {
    runtime, told in
    let other = OtherClient(containerd: runtime.containerd)
    try await other.createContainer("c")
    try await body(runtime, told, other)
    try await other.remove("c")
  }
}
