internal import FIFOIO
internal import Protocol
internal import Runtime

/// What a connection has of processes: their streams, word of their stdin, and those that end with it.
@Loop
final class Attachments {
  private var sinks: [ObjectIdentifier: StreamSink] = [:]
  /// Processes whose stdin this client wants to know about.
  private var stdins: [ObjectIdentifier: WeakProcess] = [:]
  /// Processes that end with this connection.
  private var dependents: [ObjectIdentifier: ContainerProcess] = [:]

  func add(_ sink: StreamSink) {
    sinks[ObjectIdentifier(sink)] = sink
  }

  func remove(_ sink: StreamSink) {
    sinks[ObjectIdentifier(sink)] = nil
  }

  func sink(of process: ContainerProcess, _ stream: StreamName) -> StreamSink? {
    sinks.values.first { $0.process === process && $0.stream == stream }
  }

  func isAttached(to process: ContainerProcess) -> Bool {
    followsStdin(of: process) || sinks.values.contains { $0.process === process }
  }

  func followsStdin(of process: ContainerProcess) -> Bool {
    stdins[ObjectIdentifier(process)] != nil
  }

  func followStdin(of process: ContainerProcess, _ follow: Bool) {
    stdins[ObjectIdentifier(process)] = follow ? WeakProcess(process: process) : nil
    // Those of processes that are gone.
    stdins = stdins.filter { $0.value.process != nil }
  }

  /// Kills the process when this connection goes.
  func own(_ process: ContainerProcess) {
    // Those that have ended need nobody.
    dependents = dependents.filter { $0.value.life.exit == nil }
    dependents[ObjectIdentifier(process)] = process
  }

  func disown(_ process: ContainerProcess) {
    dependents[ObjectIdentifier(process)] = nil
  }

  /// The connection goes.
  ///
  /// - Returns: the processes that end with it and run.
  func letGo() -> [ContainerProcess] {
    for sink in sinks.values { sink.detach() }
    sinks = [:]
    defer { dependents = [:] }
    return dependents.values.filter { $0.isRunning }
  }
}

private struct WeakProcess {
  weak var process: ContainerProcess?
}
