internal import ContainerdAPI
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging

/// Starts that failed, or that a worker was cut short in.
extension ContainerRuntime {
  /// Leaves nothing behind: neither in containerd nor here. Runs to its end even when the command was cancelled.
  func undoStart(
    of process: ContainerProcess, in container: Container, after error: RuntimeError
  ) async -> RuntimeError {
    // A task of its own does not inherit the command's cancellation.
    // Somebody else's process of this name is not ours to remove.
    let leftover =
      error.kind == .alreadyExists
      ? nil : await Task { @Loop in await self.removeFailed(process.container, exec: process.exec) }.value
    let told = process.life.phase >= .added
    let isOpen = leftover != nil || [.unavailable, .deadlineExceeded].contains(error.kind)
    let record = process.undone(told ? .unknown : .withdrawn)
    process.release()
    if isOpen {
      // It may be there when containerd comes again, to this worker or the next.
      container.hadCutStart = true
      note(told ? .unknown : .withdrawn, of: process)
      if let exec = process.exec {
        container.cutExecs.insert(exec)
      } else {
        journal?.append(.process(record))
      }
    }
    if let exec = process.exec {
      container.execs[exec] = nil
    } else {
      container.task = nil
      if told { tell(.taskDeleted(container.id, nil)) }
    }
    guard let leftover else { return error }
    let kind = error.kind == .unreachable && told ? RuntimeError.Kind.unavailable : error.kind
    return RuntimeError(kind, "\(error.message); cleaning up failed: \(leftover.message)")
  }

  /// What an exec or task that did not start still holds in containerd.
  func removeFailed(_ id: String, exec: String?) async -> RuntimeError? {
    do throws(RuntimeError) {
      if let exec {
        do throws(RuntimeError) {
          try await deleteProcessRPC(id, exec, timeout: .seconds(45))
        } catch {
          // It runs after all.
          guard error.kind == .wrongState else { throw error }
          try await killRPC(id, exec: exec, signal: UInt32(SIGKILL), all: false)
          try await waitRPC(id, exec: exec, timeout: .seconds(30))
          try await deleteProcessRPC(id, exec, timeout: .seconds(45))
        }
      } else {
        do throws(RuntimeError) {
          _ = try await deleteTaskRPC(id, timeout: .seconds(30))
        } catch {
          // It runs after all: its start's answer was lost or cancelled.
          guard error.kind == .wrongState else { throw error }
          try await killRPC(id, exec: nil, signal: UInt32(SIGKILL), all: true)
          try await waitRPC(id, exec: nil, timeout: .seconds(30))
          _ = try await deleteTaskRPC(id, timeout: .seconds(30))
        }
      }
    } catch {
      return error.kind == .notFound ? nil : error
    }
    return nil
  }

  /// A task that a start left, of which the client was told that it failed or nothing at all: it goes, whatever it does.
  func removeCutStart(_ found: CDProcess, of container: Container) async throws(RuntimeError) {
    // Of one whose shim does not answer the FIFOs are not told.
    guard found.stdout.isEmpty || found.stdout.hasPrefix(container.bundle + "/") else { return }
    if let leftover = await removeFailed(container.id, exec: nil) { throw leftover }
    if container.task == nil { journal?.append(.forgetProcess(container: container.id, exec: "")) }
  }

  func note(_ fate: Fate, of process: ContainerProcess) {
    if !process.origin.key.isEmpty { fates[process.origin.key] = fate }
  }
}
