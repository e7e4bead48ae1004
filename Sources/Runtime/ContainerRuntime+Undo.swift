internal import ContainerdAPI
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging
internal import SwiftProtobuf

/// Starts that failed, or that a worker was cut short in.
extension ContainerRuntime {
  /// Leaves nothing behind: neither in containerd nor here. Runs to its end even when the command was cancelled.
  func undoStart(
    of process: ContainerProcess, in container: Container, after error: RuntimeError
  ) async -> RuntimeError {
    // Somebody else's process of this name is not ours to remove. A task of its own does not inherit the command's
    // cancellation.
    let leftover =
      error.kind == .alreadyExists || process.isRefused
      ? nil : await Task { @Loop in await self.removeFailed(process.container, exec: process.exec) }.value
    let wasAdded = process.life.phase >= .added
    let isOpen = leftover != nil || [.unavailable, .deadlineExceeded].contains(error.kind)
    withdraw(process, in: container, leaving: isOpen ? wasAdded ? .unknown : .withdrawn : nil)
    if leftover != nil { Task { @Loop in await removeCutExecs(of: container) } }
    guard let leftover else {
      return error.kind == .cancelled ? RuntimeError(.withdrawn, error.message) : error
    }
    let kind = error.kind == .unreachable && wasAdded ? RuntimeError.Kind.unavailable : error.kind
    return RuntimeError(kind, "\(error.message); cleaning up failed: \(leftover.message)")
  }

  /// A start is over without a process.
  ///
  /// - Parameter fate: where containerd may still have something of it, to this worker or the next.
  func withdraw(_ process: ContainerProcess, in container: Container, leaving fate: Fate?) {
    let (told, record) = (process.life.phase >= .added, process.undone)
    // Before the command's reply, which another start may follow.
    for (_, reader) in process.readers { reader.finishSinks() }
    process.release()
    if let fate { observer?.startIsSettled(process, fate) }
    guard let exec = process.exec else {
      endUnseen(process)
      container.task = nil
      if fate != nil { container.hadCutStart = true }
      // An earlier one's, too: it has been written over.
      if container.hadCutStart { journal?.append(.process(record)) }
      if told { tell(.taskDeleted(container.id, nil)) }
      return
    }
    container.execs[exec] = nil
    // containerd's word of it may still be on its way.
    recent.add(container.id, exec: exec, pid: process.pid)
    if fate == nil { return }
    container.cutExecs.insert(exec)
    journal?.append(.process(record))
  }

  /// Execs of which the client was told that it is not known whether they run: they go.
  func removeCutExecs(of container: Container) async {
    for exec in container.cutExecs where container.execs[exec] == nil {
      await insist("clear away a cut exec of", container.id) { () async throws(RuntimeError) in
        if let leftover = await self.removeCutExec(exec, of: container) { throw leftover }
      }
    }
  }

  /// Once at a time: what takes its name must not be taken for it.
  func removeCutExec(_ exec: String, of container: Container) async -> RuntimeError? {
    guard container.cutExecs.contains(exec) else { return nil }
    let removal =
      container.cutExecRemovals[exec]
      ?? Task { @Loop in
        defer { container.cutExecRemovals[exec] = nil }
        let leftover = await removeUnlessAnothers(exec, of: container)
        if leftover == nil { forgetCutExec(exec, of: container) }
        return leftover
      }
    container.cutExecRemovals[exec] = removal
    return await removal.value
  }

  /// What has its name may be another client's by now.
  private func removeUnlessAnothers(_ exec: String, of container: Container) async -> RuntimeError? {
    do throws(RuntimeError) {
      guard let found = try await get(container.id, exec: exec) else { return nil }
      try checkIsKnown(found)
      return isOurs(found.stdout, container) ? await removeFailed(container.id, exec: exec) : nil
    } catch {
      return error
    }
  }

  private func forgetCutExec(_ exec: String, of container: Container) {
    guard container.cutExecs.remove(exec) != nil else { return }
    journal?.append(.forgetProcess(container: container.id, exec: exec))
  }

  /// They go with their task.
  func forgetCutExecs(of container: Container) {
    for exec in container.cutExecs { forgetCutExec(exec, of: container) }
  }

  /// What an exec or task that did not start still holds in containerd.
  func removeFailed(_ id: String, exec: String?) async -> RuntimeError? {
    do throws(RuntimeError) {
      do throws(RuntimeError) {
        try await deleteRPC(id, exec: exec)
      } catch {
        // It runs after all: its start's answer was lost or cancelled.
        guard error.kind == .wrongState else { throw error }
        do throws(RuntimeError) {
          try await killRPC(id, exec: exec, signal: UInt32(SIGKILL), all: exec == nil)
        } catch {
          // It has ended meanwhile.
          if error.kind != .notFound { throw error }
        }
        try await waitRPC(id, exec: exec, timeout: .seconds(30))
        try await deleteRPC(id, exec: exec)
      }
    } catch {
      return error.kind == .notFound ? nil : error
    }
    return nil
  }

  private func deleteRPC(_ id: String, exec: String?) async throws(RuntimeError) {
    if let exec {
      try await deleteProcessRPC(id, exec, timeout: .seconds(45))
    } else {
      _ = try await deleteTaskRPC(id, timeout: .seconds(30))
    }
  }

  /// A task that a start left, of which the client was told that it failed or nothing at all: it goes, whatever it does.
  func removeCutStart(of container: Container) async throws(RuntimeError) {
    if let leftover = await removeFailed(container.id, exec: nil) { throw leftover }
    if container.task == nil { journal?.append(.forgetProcess(container: container.id, exec: "")) }
  }

  /// Before a container is deleted, without which no call would reach it.
  func clearCutStart(of container: Container) async throws(RuntimeError) {
    guard container.hadCutStart, container.task == nil else { return }
    do throws(RuntimeError) {
      try await adoptTask(of: container)
    } catch {
      if error.isPassing || error.kind == .cancelled { throw error }
      log.error(
        "cannot clear away a cut start",
        metadata: ["container": "\(container.id)", "error": "\(error.message)"])
    }
  }

  /// Another client's task has the place: nothing can come of the cut start any more.
  func forgetCutStart(of container: Container) {
    if !container.hadCutStart { return }
    container.hadCutStart = false
    journal?.append(.forgetProcess(container: container.id, exec: ""))
  }

  /// Whether a FIFO is of a process that a worker on this state directory started. Each of those has one for its stdout;
  /// of one whose shim does not answer none is told.
  func isOurs(_ path: String, _ container: Container) -> Bool { path.hasPrefix(container.bundle + "/") }
}
