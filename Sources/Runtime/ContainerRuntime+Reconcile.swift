internal import ContainerdAPI
internal import FIFOIO
internal import Logging

extension ContainerRuntime {
  /// Compares what we hold with what containerd lists, tells what was missed, and then that it is connected.
  func reconcileAndTell() async {
    do throws(RuntimeError) {
      let counts = try await reconcile()
      connected = true
      lastFailure = ""
      firstAttempt.resume()
      tell(.containerdConnected(tasks: counts.tasks, exits: counts.exits))
    } catch {
      log.warning("cannot list tasks", metadata: ["error": "\(error.message)"])
    }
  }

  private func reconcile() async throws(RuntimeError) -> (tasks: Int, exits: Int) {
    let listed = try await containerd.call(
      ContainerdService.Tasks.list, CDListTasksRequest(), timeout: .seconds(30)
    ).tasks
    var exits = 0
    let ids = Set(listed.map(\.containerID) + listed.map(\.id))
    for process in listed {
      let id = process.containerID.isEmpty ? process.id : process.containerID
      if let task = containers[id]?.task {
        if process.status == .stopped, task.isRunning, task.life.phase >= .started {
          exits += 1
          task.exited(
            ExitStatus(code: process.exitStatus, exitedAt: Timestamp(process.exitedAt), source: .reconcile))
        }
      } else if containers[id] == nil {
        // A task of an earlier worker: its output waits in its FIFOs.
        do throws(RuntimeError) {
          _ = try await load(id)
        } catch {
          log.warning("cannot load", metadata: ["container": "\(id)", "error": "\(error.message)"])
        }
      }
    }
    for container in containers.values {
      if let task = container.task, task.isRunning, task.life.phase >= .started, !ids.contains(container.id) {
        exits += 1
        await settle(task)
      }
      for exec in container.execs.values where exec.isRunning && exec.life.phase >= .started {
        await settle(exec)
        if !exec.isRunning { exits += 1 }
      }
    }
    return (listed.count, exits)
  }

  /// Asks containerd what became of a process: a status that it still has, or a loss where it knows nothing of it.
  func settle(_ process: ContainerProcess) async {
    do throws(RuntimeError) {
      guard let found = try await get(process.container, exec: process.exec) else {
        return process.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost))
      }
      // UNKNOWN is a shim that did not answer: not an end.
      if found.status == .stopped {
        process.exited(
          ExitStatus(code: found.exitStatus, exitedAt: Timestamp(found.exitedAt), source: .reconcile))
      }
    } catch {
      log.warning(
        "cannot tell what became of a process",
        metadata: ["container": "\(process.container)", "error": "\(error.message)"])
    }
  }

  /// Takes over a task that runs already, by the FIFOs that containerd names.
  func adopt(_ found: CDProcess, into container: Container) {
    let process: ContainerProcess
    do throws(SystemError) {
      process = try ContainerProcess(
        container: container.id, exec: nil, fifos: ownFIFOs(of: found), host: self)
    } catch {
      log.warning("cannot attach", metadata: ["container": "\(container.id)", "error": "\(error)"])
      // Without its stdio it is still a task, which must not be orphaned by deleting its container.
      return adopt(found.withoutStdio, into: container)
    }
    container.task = process
    process.adopted(pid: found.pid, running: found.status != .created)
    if found.status == .stopped {
      process.exited(
        ExitStatus(code: found.exitStatus, exitedAt: Timestamp(found.exitedAt), source: .reconcile))
    }
  }

  /// FIFOs outside of our bundles have another client for their reader: two would split the output.
  private func ownFIFOs(of process: CDProcess) -> FIFOSet {
    let paths = [process.stdin, process.stdout, process.stderr]
    let own = paths.allSatisfy { $0.isEmpty || $0.hasPrefix(bundles + "/") }
    return FIFOSet(
      stdin: own ? process.stdin : "", stdout: own ? process.stdout : "", stderr: own ? process.stderr : "",
      terminal: process.terminal)
  }
}

extension CDProcess {
  fileprivate var withoutStdio: CDProcess {
    var process = self
    (process.stdin, process.stdout, process.stderr) = ("", "", "")
    return process
  }
}
