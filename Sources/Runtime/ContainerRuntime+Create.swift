internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

/// The Create of a task, whose place may still be taken by what was cut short there.
extension ContainerRuntime {
  /// Of a worker or a containerd that was killed there may still be a Create under way, its task, or its directory: the id
  /// is taken until that is cleared away. So it is by a shim whose task is gone: containerd tells that before it forgets the
  /// shim, and does not come to that where the client died that had asked for it.
  func createTaskOnceFree(
    _ process: ContainerProcess, in container: Container, _ checkpoint: String?
  ) async throws(RuntimeError) -> CDCreateTaskResponse {
    var pause = Duration.milliseconds(10)
    // So far nothing was asked of containerd for it.
    process.isRefused = true
    while let deletion = taskDeletions[container.id] { _ = await deletion.value }
    if Task.isCancelled { throw RuntimeError(.cancelled, "cancelled before anything was done") }
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
    // A shim that could not be started in its directory (binary.go). Of one that is not installed containerd tells otherwise.
    if ["failed to start shim", "no such file or directory"].allSatisfy(error.message.contains),
      ["fork/exec", "open shim log pipe"].contains(where: error.message.contains)
    {
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
}
