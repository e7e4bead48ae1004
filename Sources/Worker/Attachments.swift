internal import FIFOIO
internal import Protocol
internal import Runtime

/// What a connection has of processes: their streams, word of their stdin, and those that end with it.
@Loop
final class Attachments {
  /// By process, as there may be thousands.
  private var sinks: [ObjectIdentifier: [StreamSink]] = [:]
  /// Processes of which it has, or has had to their ends, any stream.
  private var processes: [ObjectIdentifier: Known] = [:]
  /// Processes that end with this connection.
  private var dependents: [ObjectIdentifier: ContainerProcess] = [:]
  /// So many of either are looked through for those that are of no use any more.
  private var (manyProcesses, manyDependents) = (64, 64)

  func add(_ sink: StreamSink) {
    sinks[ObjectIdentifier(sink.process), default: []].append(sink)
    know(sink.process)
  }

  func remove(_ sink: StreamSink) {
    let process = ObjectIdentifier(sink.process)
    sinks[process]?.removeAll { $0 === sink }
    if sinks[process]?.isEmpty == true { sinks[process] = nil }
  }

  func sink(of process: ContainerProcess, _ stream: StreamName) -> StreamSink? {
    sinks[ObjectIdentifier(process)]?.first { $0.stream == stream }
  }

  /// The client wants no more of it.
  func leave(_ sink: StreamSink) {
    remove(sink)
    forgetIfUnused(sink.process)
  }

  func isAttached(to process: ContainerProcess) -> Bool {
    processes[ObjectIdentifier(process)]?.process === process
  }

  func followsStdin(of process: ContainerProcess) -> Bool {
    isAttached(to: process) && processes[ObjectIdentifier(process)]?.followsStdin == true
  }

  func followStdin(of process: ContainerProcess, _ follow: Bool) {
    if follow { know(process) }
    if !isAttached(to: process) { return }
    processes[ObjectIdentifier(process)]?.followsStdin = follow
    forgetIfUnused(process)
  }

  private func know(_ process: ContainerProcess) {
    if isAttached(to: process) { return }
    processes[ObjectIdentifier(process)] = Known(process: process)
    if processes.count < manyProcesses { return }
    // Those that are gone.
    processes = processes.filter { $0.value.process != nil }
    manyProcesses = 2 * processes.count + 64
  }

  private func forgetIfUnused(_ process: ContainerProcess) {
    let id = ObjectIdentifier(process)
    if sinks[id] == nil, processes[id]?.followsStdin == false { processes[id] = nil }
  }

  /// Kills the process when this connection goes.
  func own(_ process: ContainerProcess) {
    dependents[ObjectIdentifier(process)] = process
    if dependents.count < manyDependents { return }
    // Those that have ended need nobody.
    dependents = dependents.filter { $0.value.life.exit == nil }
    manyDependents = 2 * dependents.count + 64
  }

  func disown(_ process: ContainerProcess) {
    dependents[ObjectIdentifier(process)] = nil
  }

  /// The connection goes.
  ///
  /// - Returns: the processes that end with it and run.
  func letGo() -> [ContainerProcess] {
    let all = sinks.values.joined()
    sinks = [:]
    for sink in all { sink.detach() }
    defer { dependents = [:] }
    return dependents.values.filter { $0.isRunning }
  }
}

private struct Known {
  weak var process: ContainerProcess?
  var followsStdin = false
}
