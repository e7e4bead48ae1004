internal import ContainerdAPI
internal import FIFOIO
internal import Logging

/// What is done for its processes.
extension ContainerRuntime: ProcessHost {
  func tell(_ event: LifecycleEvent) {
    observer?.runtime(event)
  }

  func stdinBroke(_ process: ContainerProcess) {
    observer?.stdinBroke(process)
  }

  func stdinTakes(_ process: ContainerProcess, upTo offset: UInt64) {
    observer?.stdinTakes(process, upTo: offset)
  }

  /// Its error is no client's any more, who has been told that stdin is closed; it is reported here.
  func closeIO(of process: ContainerProcess) async {
    var request = CDCloseIORequest()
    request.containerID = process.container
    request.execID = process.exec ?? ""
    request.stdin = true
    var pause = Duration.milliseconds(50)
    // Without it the process waits for its end of stdin for ever.
    while process.isRunning, !isStopped {
      do throws(RuntimeError) {
        _ = try await containerd.call(ContainerdService.Tasks.closeIO, request)
        return
      } catch {
        // Gone meanwhile: what was to be closed is closed.
        if error.kind == .notFound || !process.isRunning { return }
        log.error(
          "CloseIO failed", metadata: ["container": "\(process.container)", "error": "\(error.message)"])
        guard error.isPassing else { return }
      }
      await Loop.sleep(pause)
      pause = min(pause * 2, .seconds(1))
    }
  }

  func processClosed(_ process: ContainerProcess) {
    if process.exec == nil {
      Task { @Loop in
        await Loop.sleep(ContainerRuntime.patienceWithEnded)
        await self.removeIfGone(process)
      }
    } else if process.isOwn {
      Task { @Loop in await self.removeEnded(process) }
    } else {
      // Whose it is will delete it, and wants its status then.
      containers[process.container]?.remember(process)
    }
  }
}
