import ContainerdAPI
import FIFOIO
import Journal
import Logging
import SwiftProtobuf
import TestSupport
import Testing

@testable import Runtime

/// A runtime, by default one whose containerd is not there: what is asked beside the events has no answer.
func withRuntime(
  at address: String = "/nonexistent/c.sock", stateDirectory: String = "/nonexistent",
  journal: Journal? = nil,
  _ body: @Loop (ContainerRuntime, Told) async throws -> Void
) async throws {
  let (containerd, runtime, told) = try await make(address, stateDirectory, journal)
  do {
    try await body(runtime, told)
  } catch {
    Issue.record(error)
  }
  await runtime.stop()
  await Task.detached { containerd.shutDown() }.value
}

@Loop
private func make(
  _ address: String, _ stateDirectory: String, _ journal: Journal?
) throws -> (Containerd, ContainerRuntime, Told) {
  let containerd = try Containerd(address: address, namespace: Sandbox.newNamespace())
  let runtime = ContainerRuntime(
    containerd: containerd, stateDirectory: stateDirectory, keepsBundles: false, journal: journal,
    log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, readSpec: { _ in SpecFacts() })
  let told = Told()
  runtime.observer = told
  return (containerd, runtime, told)
}

func openJournal(in directory: String) async throws -> Journal {
  try await Journal.open(
    in: directory, limits: JournalLimits(bytes: 1 << 20, age: .seconds(1000)),
    log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
}

extension NewContainer {
  /// One that cannot be started.
  init(bare id: String) {
    self.init(
      id: id, spec: Array("{}".utf8), labels: [:],
      shim: ShimChoice(name: "io.containerd.runc.v2", options: nil))
  }
}

/// What was told, in short.
@Loop
final class Told: RuntimeObserver {
  private(set) var names: [String] = []

  func runtime(_ event: LifecycleEvent) {
    let name =
      switch event {
      case .taskCreated(let id, _): "created \(id)"
      case .taskStarted(let id, _): "started \(id)"
      case .taskDeleted(let id, _): "deleted \(id)"
      case .processAdded(let id, let exec): "added \(id)/\(exec)"
      case .processStarted(let id, let exec, _): "started \(id)/\(exec)"
      case .processExited(let id, let exec, _, let exit):
        "exited \(name(id, exec)) \(exit.code.map { "\($0)" } ?? "lost")"
      case .processClosed(let id, let exec, _, _, _): "closed \(name(id, exec))"
      case .containerDeleted(let id): "container deleted \(id)"
      default: "\(event)"
      }
    names.append(name)
    waiters.resume()
  }

  private func name(_ id: String, _ exec: String?) -> String { exec.map { "\(id)/\($0)" } ?? id }

  private(set) var fates: [String] = []
  func startIsSettled(_ process: ContainerProcess, _ fate: Fate) {
    fates.append("\(name(process.container, process.exec)) \(fate)")
  }
  func stdinBroke(_ process: ContainerProcess) {}
  func stdinTakes(_ process: ContainerProcess, upTo offset: UInt64) {}

  private let waiters = Waiters()

  /// Of what containerd has to be asked for first.
  func untilAnswered(_ name: String) async {
    let wait = Task { @Loop in
      while !names.contains(name), !Task.isCancelled { await waiters.wait() }
    }
    let timer = Poller.shared.schedule(after: .seconds(10)) { wait.cancel() }
    await wait.value
    Poller.shared.cancel(timer)
    #expect(names.contains(name), "\(names)")
  }

  func until(_ name: String) async throws {
    for _ in 0..<10000 where !names.contains(name) { await Task.yield() }
    #expect(names.contains(name), "\(names)")
  }
}

extension CDEnvelope {
  private static func make(_ topic: String, _ message: some Message) -> CDEnvelope {
    var envelope = CDEnvelope()
    envelope.topic = "/tasks/" + topic
    if let event = try? Google_Protobuf_Any(containerd: message) { envelope.event = event }
    return envelope
  }

  static func created(_ id: String, _ pid: UInt32) -> CDEnvelope {
    make("create", CDTaskCreate.with { ($0.containerID, $0.pid) = (id, pid) })
  }

  static func started(_ id: String, _ pid: UInt32) -> CDEnvelope {
    make("start", CDTaskStart.with { ($0.containerID, $0.pid) = (id, pid) })
  }

  static func execAdded(_ id: String, _ exec: String) -> CDEnvelope {
    make("exec-added", CDTaskExecAdded.with { ($0.containerID, $0.execID) = (id, exec) })
  }

  static func execStarted(_ id: String, _ exec: String, _ pid: UInt32) -> CDEnvelope {
    make("exec-started", CDTaskExecStarted.with { ($0.containerID, $0.execID, $0.pid) = (id, exec, pid) })
  }

  static func exited(_ id: String, _ process: String, _ pid: UInt32, _ code: UInt32) -> CDEnvelope {
    make(
      "exit", CDTaskExit.with { ($0.containerID, $0.id, $0.pid, $0.exitStatus) = (id, process, pid, code) })
  }

  static func deleted(_ id: String, _ pid: UInt32, _ code: UInt32) -> CDEnvelope {
    make("delete", CDTaskDelete.with { ($0.containerID, $0.pid, $0.exitStatus) = (id, pid, code) })
  }
}
