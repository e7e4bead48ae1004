internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

/// What is done with a task while it runs.
extension ContainerRuntime {
  /// Pause. containerd's event tells that it is done.
  package func pause(_ id: String) async throws(RuntimeError) {
    var request = CDPauseTaskRequest()
    request.containerID = id
    _ = try await containerd.call(ContainerdService.Tasks.pause, request)
  }

  package func resume(_ id: String) async throws(RuntimeError) {
    var request = CDResumeTaskRequest()
    request.containerID = id
    _ = try await containerd.call(ContainerdService.Tasks.resume, request)
  }

  /// UpdateResources.
  ///
  /// - Parameter resources: OCI LinuxResources as JSON.
  package func update(_ id: String, resources: [UInt8]) async throws(RuntimeError) {
    var request = CDUpdateTaskRequest()
    request.containerID = id
    request.resources = Google_Protobuf_Any(json: resources, typeURL: TypeURL.resources)
    _ = try await containerd.call(ContainerdService.Tasks.update, request)
  }

  /// CreateCheckpoint: dumps the task to a directory, which is made where it is missing.
  package func checkpoint(_ id: String, to directory: String, exit: Bool) async throws(RuntimeError) {
    let container = try await load(id)
    guard let task = container.task else { throw RuntimeError(.notFound, "container \(id) has no task") }
    guard container.metadata?.shim.runc != nil else {
      throw RuntimeError(.invalidArgument, "the runtime of container \(id) takes no checkpoint directory")
    }
    var options = CDCheckpointOptions()
    options.exit = exit
    options.imagePath = directory
    // Sessions of terminals and locks that several containers could share are runc's to refuse otherwise.
    options.terminal = task.fifos.terminal
    options.fileLocks = true
    var request = CDCheckpointTaskRequest()
    request.containerID = id
    do {
      request.options = try .init(containerd: options)
    } catch {
      throw RuntimeError(.internalError, "cannot encode the options: \(error)")
    }
    // CRIU ends the process with SIGKILL.
    let wasKilled = task.isKilledByUs
    if exit { task.isKilledByUs = true }
    do throws(RuntimeError) {
      // Cut off in the middle, a dump could leave the task frozen.
      _ = try await containerd.callToTheEnd(ContainerdService.Tasks.checkpoint, request)
    } catch {
      task.isKilledByUs = wasKilled
      throw error
    }
    tell(.taskCheckpointed(id))
  }

  /// A process of a task: its pid, and the exec that it was started by, if it is one's first.
  package struct ListedProcess: Sendable, Equatable {
    package let pid: UInt32
    package let exec: String?
  }

  /// Pids: all processes of a task.
  package func processes(of id: String) async throws(RuntimeError) -> [ListedProcess] {
    var request = CDListPidsRequest()
    request.containerID = id
    let answer = try await containerd.call(ContainerdService.Tasks.listPids, request, timeout: .seconds(10))
    return answer.processes.map { process in
      ListedProcess(
        pid: process.pid, exec: process.hasInfo ? process.info.decode(CDProcessDetails.self)?.execID : nil)
    }
  }

  /// Resize: at once where the process runs, else once it does. After its end there is nothing to do.
  package func resize(_ id: String, exec: String?, _ size: WindowSize) async throws(RuntimeError) {
    let container = try await load(id)
    guard let process = container.process(exec) else {
      guard exec == nil else { throw RuntimeError(.notFound, "container \(id) has no process \(exec ?? "")") }
      guard container.metadata?.facts.terminal == true else { throw noTerminal(id) }
      return container.pendingSize = size
    }
    try await learnFIFOs(of: process)
    guard process.fifos.terminal else { throw noTerminal(id) }
    if process.life.phase < .started { return process.pendingSize = size }
    if process.isRunning { try await resizeRPC(process, size) }
  }

  private func noTerminal(_ id: String) -> RuntimeError {
    RuntimeError(.wrongState, "the process of container \(id) has no terminal")
  }

  /// A size is no reason to fail a process that runs; its terminal may be gone already.
  func resizeQuietly(_ process: ContainerProcess, _ size: WindowSize) async {
    guard process.fifos.terminal else { return }
    do throws(RuntimeError) {
      try await resizeRPC(process, size)
    } catch {
      log.debug(
        "resize failed", metadata: ["container": "\(process.container)", "error": "\(error.message)"])
    }
  }

  private func resizeRPC(_ process: ContainerProcess, _ size: WindowSize) async throws(RuntimeError) {
    var request = CDResizePtyRequest()
    request.containerID = process.container
    request.execID = process.exec ?? ""
    request.width = size.columns
    request.height = size.rows
    _ = try await containerd.call(ContainerdService.Tasks.resizePty, request)
  }
}
