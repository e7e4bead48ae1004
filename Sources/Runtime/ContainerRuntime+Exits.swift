internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

extension ContainerRuntime {
  /// A process has ended. What SIGKILL killed and nobody here, the kernel may have killed for lack of memory; its event
  /// can come late or never (containerd#8893, #12714), the count in the cgroup cannot.
  func end(_ process: ContainerProcess, in container: Container, _ status: ExitStatus) {
    guard status.code == 137, !process.isKilledByUs else { return process.exited(status) }
    process.exited(status) { await self.wasOutOfMemory(container) }
  }

  private func wasOutOfMemory(_ container: Container) async -> Bool {
    do throws(RuntimeError) {
      let metrics = try await metricsRPC([container.id], timeout: .seconds(1))
      guard let kills = metrics.first.flatMap(ResourceUsage.init)?.memory.outOfMemoryKills else {
        return container.outOfMemory
      }
      defer { container.knownKills = kills }
      return kills > container.knownKills
    } catch {
      return container.outOfMemory
    }
  }

  /// Where no event may come, the exit is waited for.
  func watchExitIfBlind(_ process: ContainerProcess) {
    if connected { return }
    Task { @Loop in
      var request = CDWaitRequest()
      request.containerID = process.container
      request.execID = process.exec ?? ""
      do throws(RuntimeError) {
        let answer = try await containerd.call(ContainerdService.Tasks.wait, request, timeout: nil)
        process.exited(
          ExitStatus(code: answer.exitStatus, exitedAt: Timestamp(ofExit: answer.exitedAt), source: .wait))
      } catch {
        if error.kind == .notFound || error.message.contains("ttrpc: closed") { await settle(process) }
      }
    }
  }

  /// How long a task that has ended may stay before it is looked for: its shim may have gone without having told of
  /// a deletion by another client (seen with containerd 2.1).
  static let patienceWithEnded = Duration.seconds(5)

  /// Forgets a task that has ended and that containerd has no more.
  func removeIfGone(_ task: ContainerProcess) async {
    guard let container = containers[task.container], container.task === task, !task.isBeingDeleted,
      let exit = task.life.exit
    else { return }
    do throws(RuntimeError) {
      if try await get(container.id, exec: nil) != nil { return }
    } catch {
      // Whoever wants something of it next will see.
      return
    }
    if !task.isBeingDeleted { removeTask(task, of: container, exit) }
  }

  /// Asks containerd what became of a process: a status that it still has, or a loss where it knows nothing of it.
  ///
  /// - Returns: whether it could tell.
  @discardableResult
  func settle(_ process: ContainerProcess) async -> Bool {
    do throws(RuntimeError) {
      guard let found = try await get(process.container, exec: process.exec) else {
        process.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost))
        return true
      }
      // UNKNOWN is a shim that did not answer: not an end.
      if found.status == .stopped { stopped(process, found) }
      return found.status != .unknown
    } catch {
      log.warning(
        "cannot tell what became of a process",
        metadata: ["container": "\(process.container)", "error": "\(error.message)"])
      return false
    }
  }

  func stopped(_ process: ContainerProcess, _ found: CDProcess) {
    let status = ExitStatus(found)
    guard let container = containers[process.container] else { return process.exited(status) }
    end(process, in: container, status)
  }
}

extension ExitStatus {
  /// Of a process that is stopped. Behind a shim that died while it was away, containerd says 0 at no time.
  init(_ stopped: CDProcess) {
    let time = Timestamp(ofExit: stopped.exitedAt)
    self.init(
      code: time == nil ? nil : stopped.exitStatus, exitedAt: time, source: time == nil ? .lost : .reconcile)
  }
}
