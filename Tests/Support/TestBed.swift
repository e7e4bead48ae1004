internal import Foundation
internal import Glibc

/// A worker on the shared containerd, with a client.
package struct TestBed: Sendable {
  package let containerd: PrivateContainerd
  package let worker: WorkerProcess
  package let client: LineClient
  package let rootfs: String

  package static func start(options: [String] = []) async throws -> TestBed {
    let containerd = try await PrivateContainerd.shared()
    let worker = try await WorkerProcess.start(containerd: containerd.address, options: options)
    let client = try worker.connect()
    let greeting = try await client.greeting()
    if greeting["containerd"]["connected"].bool != true { _ = try await client.event("containerd.connected") }
    return TestBed(
      containerd: containerd, worker: worker, client: client, rootfs: try await RootFilesystem.busybox())
  }

  /// Another worker with a state directory of its own in the same namespace: another client of containerd's.
  package func startOther() async throws -> WorkerProcess {
    try await WorkerProcess.start(containerd: containerd.address, namespace: worker.namespace)
  }

  /// Creates and starts a container with all output attached.
  package func startContainer(
    _ id: String, _ args: [String], stdin: Bool = false, terminal: Bool = false
  ) async throws {
    try await client.call(
      "container.create",
      ["container": .string(id), "rootfs": .string(rootfs), "args": JSON(args), "terminal": .bool(terminal)])
    try await client.call("task.start", ["container": .string(id), "stdin": .bool(stdin), "attach": [:]])
  }

  /// Waits until a container runs a program of this name, of which nothing else tells.
  package func untilRunning(_ id: String, _ program: String) async throws {
    while true {
      let listed =
        try await client.call("task.processes", ["container": .string(id)])["processes"].array ?? []
      let pids = listed.compactMap { $0["pid"].int }
      if pids.contains(where: { ProcessList.commandLine(of: pid_t($0)).hasPrefix(program) }) { return }
    }
  }

  /// Ends a container and everything of it.
  package func remove(_ id: String) async throws {
    try await client.call("container.delete", ["container": .string(id), "force": true])
  }

  /// Runs a shell line to its end in a container of its own and returns `process.closed`.
  package func run(_ id: String, _ args: [String]) async throws -> JSON {
    try await client.call("run", ["container": .string(id), "rootfs": .string(rootfs), "args": JSON(args)])
    return try await client.event("process.closed", container: id)
  }

  /// Nothing may be left: neither shims nor FIFOs nor descriptors. Then ends the worker.
  package func finish() async throws {
    let open = worker.descriptors.filter { $0.contains(worker.stateDirectory + "/bundles") }
    client.close()
    // Waits for what is cleared away behind the replies.
    let status = await worker.terminate()
    let bundles =
      (try? FileManager.default.contentsOfDirectory(atPath: worker.stateDirectory + "/bundles")) ?? []
    let shims = try await containerd.remainingShims(of: worker.namespace)
    guard open.isEmpty, bundles.isEmpty, shims.isEmpty, status == .exited(0) else {
      throw TestFailure(
        "left behind: \(open) \(bundles) \(shims); ended with \(status)\n\(worker.log.suffix(2000))")
    }
  }
}
