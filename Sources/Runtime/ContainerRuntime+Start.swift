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

  /// Of a worker or a containerd that was killed there may still be a Create under way, its task, or its directory: the id
  /// is taken until that is cleared away. So it is by a shim whose task is gone: containerd tells that before it forgets the
  /// shim, and does not come to that where the client died that had asked for it.
  private func createTaskOnceFree(
    _ process: ContainerProcess, in container: Container, _ checkpoint: String?
  ) async throws(RuntimeError) -> CDCreateTaskResponse {
    var pause = Duration.milliseconds(10)
    let begin = ContinuousClock.now
    while true {
      do throws(RuntimeError) {
        let created = try await createTask(process, in: container, checkpoint)
        container.hadCutStart = false
        return created
      } catch {
        let isTaken = error.kind == .alreadyExists && !container.hadCutStart
        let isDisturbed = isTaken || isDisturbed(error, hadCutStart: container.hadCutStart)
        process.isRefused = isDisturbed || error.kind == .unreachable
        guard isDisturbed else { throw error }
        if ContinuousClock.now > begin + ContainerRuntime.patienceWithCutCreate {
          throw RuntimeError(.unavailable, error.message)
        }
        if Task.isCancelled { throw RuntimeError(.cancelled, "cancelled before anything was done") }
        if let found = try await get(container.id, exec: nil) {
          // Another client's.
          if isTaken { throw error }
          try await clearPlace(of: found, in: container)
        } else if isTaken, ContinuousClock.now > begin + ContainerRuntime.patienceWithDelete {
          await endForgottenShim(of: container.id)
        }
      }
      await Loop.sleep(pause)
      pause = min(pause * 2, .milliseconds(250))
    }
  }

  /// Removes what a cut start has left. UNKNOWN may be one that is still under way.
  private func clearPlace(of found: CDProcess, in container: Container) async throws(RuntimeError) {
    if found.status == .unknown { return }
    if isOurs(found.stdout, container) { return try await removeCutStart(of: container) }
    container.hadCutStart = false
    throw RuntimeError(.alreadyExists, "container \(container.id) has another client's task")
  }

  /// The shim of containerd 2 waits 5 s for the output of a process of which the Create was cut (init.go), and only the
  /// failure of the next one clears runc's state away.
  private static let patienceWithCutCreate = Duration.seconds(15)

  /// Another client's Delete, or its Create, which has no task at first, has come to its end in this time.
  private static let patienceWithDelete = Duration.seconds(2)

  /// Whether a Create failed of one that is being cleared away: that one's directory was still there, or its removal took
  /// the new one along, which has the same name (bundle.go).
  private func isDisturbed(_ error: RuntimeError, hadCutStart: Bool) -> Bool {
    // containerd's own directory, which nobody else makes.
    if error.message.contains("/io.containerd.runtime.v2.task/"), error.message.contains("file exists") {
      return true
    }
    if !hadCutStart { return false }
    // The task, the directory, or runc's "container with given ID already exists".
    if error.kind == .alreadyExists
      || ["file exists", "already exists"].contains(where: error.message.contains)
    {
      return true
    }
    return error.kind == .startFailed(stage: .create, exitCode: 128)
      && error.message.contains("no such file or directory")
  }

  private func createTask(
    _ process: ContainerProcess, in container: Container, _ checkpoint: String?
  ) async throws(RuntimeError) -> CDCreateTaskResponse {
    process.isRefused = false
    var request = CDCreateTaskRequest()
    do {
      if let options = try taskOptions(container, checkpoint) { request.options = options }
    } catch {
      throw RuntimeError(.internalError, "cannot encode the runtime's options: \(error)")
    }
    request.containerID = process.container
    request.stdin = process.fifos.stdin
    request.stdout = process.fifos.stdout
    request.stderr = process.fifos.stderr
    request.terminal = process.fifos.terminal
    return try await containerd.callToTheEnd(ContainerdService.Tasks.create, request, stage: .create)
  }

  /// Options of a task replace those of its container, so they are all told again where one is added: for whom the pipes
  /// are made that are the process's stdio, so that it can open /dev/stdout (containerd#10598, runc#4475).
  private func taskOptions(_ container: Container, _ checkpoint: String?) throws -> Google_Protobuf_Any? {
    guard let metadata = container.metadata, let chosen = metadata.shim.runc else { return nil }
    var options = chosen
    if options.ioUID == 0 && options.ioGID == 0 {
      options.ioUID = metadata.facts.ioUID
      options.ioGID = metadata.facts.ioGID
    }
    options.checkpoint = checkpoint ?? ""
    return options == chosen ? nil : try Google_Protobuf_Any(containerd: options.message)
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
