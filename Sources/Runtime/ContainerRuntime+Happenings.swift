internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

/// What containerd's events tell, of our own processes and of other clients'. Nothing here waits for anybody.
extension ContainerRuntime {
  func handle(_ envelope: CDEnvelope) {
    let event = envelope.event
    let known =
      switch envelope.topic {
      case "/tasks/create": event.decode(CDTaskCreate.self).map { created($0) }
      case "/tasks/start": event.decode(CDTaskStart.self).map { started($0) }
      case "/tasks/exec-added": event.decode(CDTaskExecAdded.self).map { added($0) }
      case "/tasks/exec-started": event.decode(CDTaskExecStarted.self).map { started($0) }
      case "/tasks/exit": event.decode(CDTaskExit.self).map { exited($0) }
      case "/tasks/delete": event.decode(CDTaskDelete.self).map { deleted($0) }
      case "/tasks/oom": event.decode(CDTaskOOM.self).map { ranOutOfMemory($0.containerID) }
      case "/tasks/paused": event.decode(CDTaskPaused.self).map { paused($0.containerID, true) }
      case "/tasks/resumed": event.decode(CDTaskResumed.self).map { paused($0.containerID, false) }
      case "/tasks/checkpointed": event.decode(CDTaskCheckpointed.self).map { checkpointed($0.containerID) }
      default: nil as Bool?
      }
    if known != true {
      eventsIgnored += 1
      log.debug("event without effect", metadata: ["topic": "\(envelope.topic)"])
    }
  }

  // MARK: - Tasks and execs that are begun
  // Our own are told from our own calls, which know more and are in order: here they are known already.

  private func created(_ event: CDTaskCreate) -> Bool {
    let id = event.containerID
    if recent.holds(id, exec: nil, pid: event.pid) || task(of: id, pid: event.pid) != nil { return false }
    if let container = containers[id], container.hadCutStart, isOurs(event.io.stdout, container) {
      return false
    }
    discover(
      ContainerProcess(container: id, exec: nil, foreign: FIFOSet(event.io), host: self), pid: event.pid)
    return true
  }

  /// The task that a container has here. One that has ended makes room where an event is about another: of its deletion
  /// nothing has come, nor will.
  private func task(of id: String, pid: UInt32) -> ContainerProcess? {
    guard let container = containers[id], let task = container.task else { return nil }
    if task.isRunning || task.pid == 0 || pid == 0 || task.pid == pid { return task }
    if recent.hasEnded(id, exec: nil, pid: pid) { return task }
    task.endNow()
    if let exit = task.life.exit { removeTask(task, of: container, exit) }
    return container.task
  }

  private func started(_ event: CDTaskStart) -> Bool {
    let id = event.containerID
    if let task = task(of: id, pid: event.pid) { return begin(task, event.pid) }
    // The late start of one that a worker was cut short in; another client's had a creation before.
    if containers[id]?.hadCutStart == true { return false }
    if recent.holds(id, exec: nil, pid: event.pid) { return false }
    let task = ContainerProcess(container: id, exec: nil, foreign: nil, host: self)
    discover(task, pid: event.pid)
    return begin(task, event.pid)
  }

  private func added(_ event: CDTaskExecAdded) -> Bool {
    let (id, exec) = (event.containerID, event.execID)
    if let known = containers[id]?.execs[exec], !known.isDeleted { return false }
    if containers[id]?.cutExecs.contains(exec) == true { return false }
    if recent.holds(id, exec: exec, pid: nil) { return false }
    discover(ContainerProcess(container: id, exec: exec, foreign: nil, host: self), pid: 0)
    return true
  }

  private func started(_ event: CDTaskExecStarted) -> Bool {
    let (id, exec) = (event.containerID, event.execID)
    if let known = containers[id]?.execs[exec], !known.isDeleted, !makesRoom(known, for: event.pid) {
      return begin(known, event.pid)
    }
    if containers[id]?.cutExecs.contains(exec) == true { return false }
    if recent.holds(id, exec: exec, pid: event.pid) { return false }
    let process = ContainerProcess(container: id, exec: exec, foreign: nil, host: self)
    discover(process, pid: 0)
    return begin(process, event.pid)
  }

  /// An exec of another client's that has ended makes room for one of another pid: of its deletion containerd tells nothing.
  /// The addition of the next, which has no pid, may be a late one of its own.
  func makesRoom(_ known: ContainerProcess, for pid: UInt32) -> Bool {
    if known.isOwn || known.isRunning || known.pid == 0 || pid == 0 || known.pid == pid { return false }
    if recent.hasEnded(known.container, exec: known.exec, pid: pid) { return false }
    known.endNow()
    recent.add(known.container, exec: known.exec, pid: known.pid)
    known.release()
    return true
  }

  /// Another client's process that was not known.
  private func discover(_ process: ContainerProcess, pid: UInt32) {
    let id = process.container
    let container = containers[id] ?? Container(id: id, bundle: bundles + "/" + id, metadata: nil)
    containers[id] = container
    if let exec = process.exec {
      container.execs[exec] = process
    } else {
      forgetCutStart(of: container)
      forgetCutExecs(of: container)
      container.began(process)
    }
    process.setPID(pid)
    process.added()
    process.announce()
  }

  private func begin(_ process: ContainerProcess, _ pid: UInt32) -> Bool {
    if process.isOwn || process.life.phase >= .started { return false }
    process.started(pid: pid)
    if let size = process.pendingSize { Task { @Loop in await self.resizeQuietly(process, size) } }
    return true
  }

  // MARK: - Ends

  private func exited(_ event: CDTaskExit) -> Bool {
    guard let container = containers[event.containerID] else { return false }
    let exec = event.id == event.containerID ? nil : event.id
    guard let process = container.process(exec), process.isRunning, isSameGeneration(process, event.pid)
    else {
      return false
    }
    end(
      process, in: container,
      ExitStatus(code: event.exitStatus, exitedAt: Timestamp(ofExit: event.exitedAt), source: .event))
    if exec == nil { endOrphans(of: container) }
    return true
  }

  /// The task is gone: by another client's hand, or with its shim.
  private func deleted(_ event: CDTaskDelete) -> Bool {
    guard let container = containers[event.containerID], let task = container.task else { return false }
    guard event.id.isEmpty || event.id == event.containerID, isSameGeneration(task, event.pid) else {
      return false
    }
    // Our own calls tell their own outcome.
    if task.isBeingDeleted || task.isOwn && task.life.phase < .started { return false }
    end(
      task, in: container,
      ExitStatus(code: event.exitStatus, exitedAt: Timestamp(ofExit: event.exitedAt), source: .event))
    for exec in container.execs.values {
      exec.exited(ExitStatus(code: nil, exitedAt: nil, source: .lost))
    }
    Task { @Loop in
      await task.waitForClose()
      // The end of a Delete that was cut with its worker, perhaps, and before anybody can start the next one.
      if task.isInherited, container.task === task { await endForgottenShim(of: container.id) }
      if let exit = task.life.exit { removeTask(task, of: container, exit) }
    }
    return true
  }

  /// An exit of an earlier task of the same id must not end the new one. Pid 0 (a dead shim) says nothing, and before
  /// Start has answered no pid is known of an exec.
  private func isSameGeneration(_ process: ContainerProcess, _ pid: UInt32) -> Bool {
    if process.exec == nil, process.life.phase == .new { return false }
    if process.pid != 0 || pid == 0 { return pid == 0 || process.pid == pid }
    return !recent.hasEnded(process.container, exec: process.exec, pid: pid)
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

  // MARK: - The rest

  private func ranOutOfMemory(_ id: String) -> Bool {
    containers[id]?.outOfMemory = true
    tell(.taskOutOfMemory(id))
    return true
  }

  func paused(_ id: String, _ isPaused: Bool) -> Bool {
    if let container = containers[id] {
      if container.isPaused == isPaused { return false }
      container.isPaused = isPaused
    }
    tell(isPaused ? .taskPaused(id) : .taskResumed(id))
    return true
  }

  /// Ours are told when they are done; containerd itself only tells of those in its content store.
  private func checkpointed(_ id: String) -> Bool {
    tell(.taskCheckpointed(id))
    return true
  }
}
