internal import FIFOIO
internal import Protocol
internal import Runtime

/// What a connection has of processes: their streams, word of their stdin, and those that end with it.
@Loop
final class Attachments {
  /// By process, as there may be thousands.
  private var sinks: [ObjectIdentifier: [StreamSink]] = [:]
  /// Processes whose stdin this client wants to know about.
  private var stdins: [ObjectIdentifier: WeakProcess] = [:]
  /// Processes that end with this connection.
  private var dependents: [ObjectIdentifier: ContainerProcess] = [:]
  /// So many of either are looked through for those that are of no use any more.
  private var (manyStdins, manyDependents) = (64, 64)

  func add(_ sink: StreamSink) {
    sinks[ObjectIdentifier(sink.process), default: []].append(sink)
  }

  func remove(_ sink: StreamSink) {
    let process = ObjectIdentifier(sink.process)
    sinks[process]?.removeAll { $0 === sink }
    if sinks[process]?.isEmpty == true { sinks[process] = nil }
  }

  func sink(of process: ContainerProcess, _ stream: StreamName) -> StreamSink? {
    sinks[ObjectIdentifier(process)]?.first { $0.stream == stream }
  }

  func isAttached(to process: ContainerProcess) -> Bool {
    followsStdin(of: process) || sinks[ObjectIdentifier(process)] != nil
  }

  func followsStdin(of process: ContainerProcess) -> Bool {
    stdins[ObjectIdentifier(process)]?.process === process
  }

  func followStdin(of process: ContainerProcess, _ follow: Bool) {
    stdins[ObjectIdentifier(process)] = follow ? WeakProcess(process: process) : nil
    if stdins.count < manyStdins { return }
    // Those of processes that are gone.
    stdins = stdins.filter { $0.value.process != nil }
    manyStdins = 2 * stdins.count + 64
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

private struct WeakProcess {
  weak var process: ContainerProcess?
}
