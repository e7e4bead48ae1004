internal import ContainerdAPI
internal import FIFOIO
internal import Glibc
internal import Logging
internal import SwiftProtobuf

extension ContainerRuntime {
  /// How a process is started.
  package struct StartOptions: Sendable {
    package var stdin: Bool
    package var terminalSize: (columns: UInt32, rows: UInt32)?

    package init(stdin: Bool, terminalSize: (columns: UInt32, rows: UInt32)?) {
      self.stdin = stdin
      self.terminalSize = terminalSize
    }
  }

  /// Start: two RPCs, Create and Start. The outputs are open before the first, so that the shim finds its readers.
  ///
  /// - Parameter attach: called before anything runs, so that no output can be missed.
  package func start(
    _ id: String, _ options: StartOptions, attach: @Loop (ContainerProcess) -> Void
  ) async throws(RuntimeError) -> ContainerProcess {
    let container = try await load(id)
    if container.task != nil { throw RuntimeError(.alreadyExists, "container \(id) has a task") }
    if Task.isCancelled { throw RuntimeError(.cancelled, "cancelled before anything was done") }
    let process = try makeProcess(container, exec: nil, stdin: options.stdin, terminal: container.terminal)
    container.task = process
    container.outOfMemory = false
    attach(process)
    do throws(RuntimeError) {
      let created = try await createTask(process)
      process.setPID(created.pid)
      process.added()
      process.shimIsReady()
      try await startProcess(process, stage: .start)
    } catch {
      throw await undoStart(of: process, in: container, after: error)
    }
    await resize(process, options.terminalSize)
    return process
  }

  private func createTask(_ process: ContainerProcess) async throws(RuntimeError) -> CDCreateTaskResponse {
    var request = CDCreateTaskRequest()
    request.containerID = process.container
    request.stdin = process.fifos.stdin
    request.stdout = process.fifos.stdout
    request.stderr = process.fifos.stderr
    request.terminal = process.fifos.terminal
    return try await containerd.callToTheEnd(ContainerdService.Tasks.create, request, stage: .create)
  }

  /// Exec: two RPCs. Start is never repeated: a second one on a live exec makes the shims of containerd 1.7 and 2.1
  /// panic.
  ///
  /// - Parameter spec: an OCI process as JSON.
  package func exec(
    _ id: String, exec: String, spec: [UInt8], terminal: Bool, _ options: StartOptions,
    attach: @Loop (ContainerProcess) -> Void
  ) async throws(RuntimeError) -> ContainerProcess {
    let container = try await load(id)
    guard container.task != nil else { throw RuntimeError(.notFound, "container \(id) has no task") }
    if let known = container.execs[exec], !known.isDeleted {
      throw RuntimeError(.alreadyExists, "process \(exec) exists")
    }
    let process = try makeProcess(container, exec: exec, stdin: options.stdin, terminal: terminal)
    container.execs[exec] = process
    attach(process)
    do throws(RuntimeError) {
      try await addExec(process, spec: spec)
      process.added()
      try await startProcess(process, stage: .exec)
    } catch {
      throw await undoStart(of: process, in: container, after: error)
    }
    await resize(process, options.terminalSize)
    return process
  }

  private func addExec(_ process: ContainerProcess, spec: [UInt8]) async throws(RuntimeError) {
    var request = CDExecProcessRequest()
    request.containerID = process.container
    request.execID = process.exec ?? ""
    request.stdin = process.fifos.stdin
    request.stdout = process.fifos.stdout
    request.stderr = process.fifos.stderr
    request.terminal = process.fifos.terminal
    request.spec = Google_Protobuf_Any(json: spec, typeURL: TypeURL.process)
    _ = try await containerd.callToTheEnd(ContainerdService.Tasks.exec, request, stage: .exec)
  }

  private func startProcess(_ process: ContainerProcess, stage: RuntimeError.Stage) async throws(RuntimeError)
  {
    var request = CDStartRequest()
    request.containerID = process.container
    request.execID = process.exec ?? ""
    // The last moment at which nothing has run.
    if Task.isCancelled { throw RuntimeError(.cancelled, "cancelled before the process ran") }
    let answer = try await containerd.callToTheEnd(ContainerdService.Tasks.start, request, stage: stage)
    process.started(pid: answer.pid)
    watchExitIfBlind(process)
  }

  private func makeProcess(
    _ container: Container, exec: String?, stdin: Bool, terminal: Bool
  ) throws(RuntimeError) -> ContainerProcess {
    do throws(SystemError) {
      for directory in [bundles, container.bundle] where mkdir(directory, 0o700) != 0 && errno != EEXIST {
        throw SystemError.last("mkdir \(directory)")
      }
      let fifos = try FIFOSet.make(
        in: container.bundle, prefix: exec.map { "exec-" + $0 } ?? "init", stdin: stdin, terminal: terminal)
      do throws(SystemError) {
        return try ContainerProcess(container: container.id, exec: exec, fifos: fifos, host: self)
      } catch {
        fifos.remove()
        throw error
      }
    } catch {
      throw RuntimeError(.io, error.description)
    }
  }

  /// A size is no reason to fail a process that runs; the terminal may be gone already.
  private func resize(_ process: ContainerProcess, _ size: (columns: UInt32, rows: UInt32)?) async {
    guard let size, process.fifos.terminal else { return }
    var request = CDResizePtyRequest()
    request.containerID = process.container
    request.execID = process.exec ?? ""
    request.width = size.columns
    request.height = size.rows
    do throws(RuntimeError) {
      _ = try await containerd.call(ContainerdService.Tasks.resizePty, request)
    } catch {
      log.debug(
        "resize failed", metadata: ["container": "\(process.container)", "error": "\(error.message)"])
    }
  }

  // MARK: - Failed starts

  /// Leaves nothing behind: neither in containerd nor here. Runs to its end even when the command was cancelled.
  private func undoStart(
    of process: ContainerProcess, in container: Container, after error: RuntimeError
  ) async -> RuntimeError {
    // A task of its own does not inherit the command's cancellation.
    let leftover = await Task { @Loop in await self.removeFailed(process) }.value
    let told = process.life.phase >= .added
    process.release()
    if let exec = process.exec {
      container.execs[exec] = nil
    } else {
      container.task = nil
      if told { tell(.taskDeleted(container.id, nil)) }
    }
    guard let leftover else { return error }
    return RuntimeError(error.kind, "\(error.message); cleaning up failed: \(leftover.message)")
  }

  /// What an exec or task that did not start still holds in containerd.
  private func removeFailed(_ process: ContainerProcess) async -> RuntimeError? {
    do throws(RuntimeError) {
      if let exec = process.exec {
        try await deleteProcessRPC(process.container, exec, timeout: .seconds(45))
      } else {
        do throws(RuntimeError) {
          _ = try await deleteTaskRPC(process.container, timeout: .seconds(30))
        } catch {
          // It runs after all: its start's answer was lost or cancelled.
          guard error.kind == .wrongState else { throw error }
          try await killRPC(process.container, exec: nil, signal: UInt32(SIGKILL), all: true)
          try await waitRPC(process.container, timeout: .seconds(30))
          _ = try await deleteTaskRPC(process.container, timeout: .seconds(30))
        }
      }
    } catch {
      return error.kind == .notFound ? nil : error
    }
    return nil
  }
}
