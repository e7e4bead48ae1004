internal import ContainerdAPI
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging
internal import SwiftProtobuf

extension ContainerRuntime {
  /// How a process is started.
  package struct StartOptions: Sendable {
    package var stdin: Bool
    package var size: WindowSize?
    /// A directory with a checkpoint to go on from; of the init process only.
    package var checkpoint: String?
    package var output: OutputOptions
    package var origin = Origin()

    package init(stdin: Bool, output: OutputOptions, size: WindowSize?, checkpoint: String? = nil) {
      self.stdin = stdin
      self.output = output
      self.size = size
      self.checkpoint = checkpoint
    }
  }

  /// Start: two RPCs, Create and Start. The outputs are open before the first, so that the shim finds its readers.
  ///
  /// - Parameter attach: called before anything runs, so that no output can be missed.
  package func start(
    _ id: String, _ options: StartOptions, attach: @Loop (ContainerProcess) -> Void
  ) async throws(RuntimeError) -> ContainerProcess {
    let container = try await load(id)
    if let last = container.task, !last.isRunning { await removeIfGone(last) }
    if container.task != nil { throw RuntimeError(.alreadyExists, "container \(id) has a task") }
    if Task.isCancelled { throw RuntimeError(.withdrawn, "cancelled before anything was done") }
    try checkCheckpoint(options.checkpoint, for: container)
    let process = try makeProcess(
      container, exec: nil, options, terminal: container.metadata?.facts.terminal ?? false)
    forgetCutExecs(of: container)
    container.began(process)
    attach(process)
    await writeDown(process)
    do throws(RuntimeError) {
      let created = try await createTaskOnceFree(process, in: container, options.checkpoint)
      process.setPID(created.pid)
      process.added()
      await journal?.flush()
      // A restored process's shim opens its ends in Start.
      if options.checkpoint == nil { process.shimIsReady() }
      try await startProcess(process, stage: .start)
    } catch {
      throw await undoStart(of: process, in: container, after: error)
    }
    if let size = options.size ?? container.pendingSize { await resizeQuietly(process, size) }
    container.pendingSize = nil
    return process
  }

  /// containerd would make a directory that is missing, and say so only at Start.
  private func checkCheckpoint(_ path: String?, for container: Container) throws(RuntimeError) {
    guard let path else { return }
    if container.metadata?.shim.runc == nil {
      throw RuntimeError(
        .invalidArgument, "the runtime of container \(container.id) takes no checkpoint directory")
    }
    if access(path + "/inventory.img", R_OK) != 0 {
      throw RuntimeError(.notFound, "no checkpoint in \(path)")
    }
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
    guard let task = container.task else { throw RuntimeError(.notFound, "container \(id) has no task") }
    if !task.isRunning { throw RuntimeError(.wrongState, "the task of container \(id) has ended") }
    if let known = container.execs[exec], !known.isDeleted {
      throw RuntimeError(.alreadyExists, "process \(exec) exists")
    }
    if let leftover = await removeCutExec(exec, of: container) {
      // Nothing was asked of containerd for this one.
      throw RuntimeError(.unreachable, "an earlier \(exec) is not cleared away: \(leftover.message)")
    }
    container.execs[exec]?.giveUpPlace()
    let process = try makeProcess(container, exec: exec, options, terminal: terminal)
    container.execs[exec] = process
    attach(process)
    await writeDown(process)
    do throws(RuntimeError) {
      try await addExec(process, spec: spec)
      process.added()
      await journal?.flush()
      try await startProcess(process, stage: .exec)
    } catch {
      throw await undoStart(of: process, in: container, after: error)
    }
    if let size = options.size { await resizeQuietly(process, size) }
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

  /// Before containerd knows of it: another worker must find what comes of the next call.
  private func writeDown(_ process: ContainerProcess) async {
    save(process)
    await journal?.flush()
  }

  private func makeProcess(
    _ container: Container, exec: String?, _ options: StartOptions, terminal: Bool
  ) throws(RuntimeError) -> ContainerProcess {
    do throws(SystemError) {
      for directory in [bundles, container.bundle] where mkdir(directory, 0o700) != 0 && errno != EEXIST {
        throw SystemError.last("mkdir \(directory)")
      }
      let fifos = try FIFOSet.make(
        in: container.bundle, prefix: exec.map { "exec-" + $0 } ?? "init", stdin: options.stdin,
        terminal: terminal,
        owner: (container.metadata?.facts.ioUID ?? 0, container.metadata?.facts.ioGID ?? 0))
      do throws(SystemError) {
        return try ContainerProcess(
          container: container.id, exec: exec, own: fifos, output: options.output, origin: options.origin,
          host: self)
      } catch {
        fifos.remove()
        throw error
      }
    } catch {
      throw RuntimeError(.io, error.description)
    }
  }
}
