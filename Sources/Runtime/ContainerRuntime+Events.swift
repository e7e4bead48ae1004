internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

extension ContainerRuntime {
  private static let barrierTopic = "/worker/sync"

  /// Returns when the first attempt to reach containerd has succeeded or failed, or the time is over.
  package func waitForFirstAttempt(atMost limit: Duration) async {
    let firstAttempt = firstAttempt
    let timer = Poller.shared.schedule(after: limit) { firstAttempt.resume() }
    await firstAttempt.wait()
    Poller.shared.cancel(timer)
  }

  /// Follows containerd's events from now on, over every loss of the connection.
  package func follow() {
    subscription = Task { @Loop in
      var delay = Duration.milliseconds(50)
      while !Task.isCancelled {
        do throws(RuntimeError) {
          try await followOnce { delay = .milliseconds(50) }
          lost("containerd ended the event stream")
        } catch {
          lost(error.message)
        }
        await Loop.sleep(delay)
        delay = min(delay * 2, .seconds(1))
      }
    }
  }

  private func lost(_ reason: String) {
    if Task.isCancelled { return }
    lastFailure = reason
    firstAttempt.resume()
    guard connected else { return }
    connected = false
    log.warning("containerd is gone", metadata: ["reason": "\(reason)"])
    tell(.containerdDisconnected(reason: reason))
  }

  /// Subscribes, proves that the subscription is live, compares, and then hands on events until the stream ends.
  private func followOnce(_ live: @Loop @escaping () -> Void) async throws(RuntimeError) {
    _ = try await fetchVersion()
    let namespace = "namespace==\(containerd.namespace)"
    var request = CDSubscribeRequest()
    request.filters = [
      "\(namespace),topic~=|^/tasks/|", "\(namespace),topic==\"\(ContainerRuntime.barrierTopic)\"",
    ]
    let stream = try containerd.open(ContainerdService.Events.subscribe, request)
    defer { stream.cancel() }
    // containerd sends no header before the first event, so an event of our own tells that the subscription is live.
    let barrier = Task { @Loop in
      // What is published right after Subscribe is lost at times, so it is repeated, soon at first.
      var pause = Duration.milliseconds(5)
      while !Task.isCancelled {
        await publishBarrier()
        await Loop.sleep(pause)
        pause = min(pause * 2, .milliseconds(200))
      }
    }
    defer { barrier.cancel() }
    var behindBarrier = false
    while true {
      let envelope: CDEnvelope?
      do {
        envelope = try await stream.next()
      } catch {
        throw StatusMapping.error(for: error)
      }
      guard let envelope else { return }
      if envelope.topic == ContainerRuntime.barrierTopic {
        if behindBarrier { continue }
        behindBarrier = true
        barrier.cancel()
        // Beside the stream, so that events go on being read while tasks are listed.
        Task { @Loop in
          await self.reconcileAndTell()
          live()
        }
        continue
      }
      eventsReceived += 1
      handle(envelope)
    }
  }

  private func publishBarrier() async {
    var request = CDPublishRequest()
    request.topic = ContainerRuntime.barrierTopic
    // containerd 1.6 itself dies of an event that is absent.
    request.event = Google_Protobuf_Any(json: [], typeURL: "containerd-worker.Sync")
    do throws(RuntimeError) {
      _ = try await containerd.call(ContainerdService.Events.publish, request, timeout: .seconds(5))
    } catch {
      log.debug("barrier not published", metadata: ["error": "\(error.message)"])
    }
  }

  private func handle(_ envelope: CDEnvelope) {
    let event = envelope.event
    switch envelope.topic {
    case "/tasks/exit":
      guard let exit = event.decode(CDTaskExit.self), let container = containers[exit.containerID] else {
        return
      }
      let exec = exit.id == exit.containerID ? nil : exit.id
      guard let process = container.process(exec), isSameGeneration(process, exit.pid) else { return }
      var status = ExitStatus(code: exit.exitStatus, exitedAt: Timestamp(exit.exitedAt), source: .event)
      status.outOfMemory = container.outOfMemory && exit.exitStatus == 137
      process.exited(status)
      if exec == nil { endOrphans(of: container) }
    case "/tasks/oom":
      guard let oom = event.decode(CDTaskOOM.self), let container = containers[oom.containerID] else {
        return
      }
      container.outOfMemory = true
      tell(.taskOutOfMemory(oom.containerID))
    case "/tasks/paused":
      if let paused = event.decode(CDTaskPaused.self) { tell(.taskPaused(paused.containerID)) }
    case "/tasks/resumed":
      if let resumed = event.decode(CDTaskResumed.self) { tell(.taskResumed(resumed.containerID)) }
    case "/tasks/checkpointed":
      if let checkpointed = event.decode(CDTaskCheckpointed.self) {
        tell(.taskCheckpointed(checkpointed.containerID))
      }
    default:
      // Created and started are told from our own calls, which know more and are in order.
      break
    }
  }

  /// An exit of an earlier task of the same id must not end the new one. Pid 0 (a dead shim) says nothing, and before
  /// Start has answered no pid is known of an exec.
  private func isSameGeneration(_ process: ContainerProcess, _ pid: UInt32) -> Bool {
    if process.exec == nil, process.life.phase == .new { return false }
    return pid == 0 || process.pid == 0 || process.pid == pid
  }

  /// Execs end with their container; some versions never tell, and a killed shim cannot.
  private func endOrphans(of container: Container) {
    let execs = container.execs.values.filter { $0.isRunning }
    if execs.isEmpty { return }
    Task { @Loop in
      await Loop.sleep(.seconds(2))
      for exec in execs where exec.isRunning { await settle(exec) }
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
          ExitStatus(code: answer.exitStatus, exitedAt: Timestamp(answer.exitedAt), source: .wait))
      } catch {
        if error.kind == .notFound || error.message.contains("ttrpc: closed") { await settle(process) }
      }
    }
  }
}
