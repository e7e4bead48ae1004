internal import CLinux
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging
internal import Protocol
internal import Runtime

/// The worker: its sockets, its connections, its runtime.
@Loop
final class Server {
  let options: Serve
  let runtime: ContainerRuntime
  let queue = CommandQueue()
  let keys: IdempotencyKeys
  let journal: Journal
  let log: Logger
  private let service: ServiceManager
  let startedAt = Time.monotonicMicroseconds
  private(set) var isStopping = false
  /// Kills and deletions under way that nobody's command waits for.
  private var cleanUps = 0
  private(set) var connectionsAccepted = 0
  private var connections: [ObjectIdentifier: Connection] = [:]
  private var listener: Listener?
  private var signals: SignalReader?
  private let containerd: Containerd

  /// How long commands in flight may take once the worker was told to stop.
  private static let drainTime = Duration.seconds(5)

  /// - Parameter journal: in the state directory, which is this worker's alone.
  init(options: Serve, journal: Journal, service: ServiceManager, log: Logger) throws {
    self.options = options
    self.journal = journal
    self.service = service
    keys = IdempotencyKeys(journal)
    self.log = log
    containerd = try Containerd(address: options.containerdAddress, namespace: options.namespace)
    runtime = ContainerRuntime(
      containerd: containerd, stateDirectory: options.stateDir, keepsBundles: options.keepBundles,
      journal: journal, log: log, readSpec: SpecReader.facts)
    runtime.observer = self
    do throws(SystemError) {
      try runtime.restore(journal.processes)
    } catch {
      throw TakeOverFailure(cause: error)
    }
    journal.processes = []
    journal.onRenewal = { [weak self] in
      self?.runtime.saveAll()
      self?.keys.saveAll()
    }
    journal.onWritten = { [weak self] in self?.journalWritten() }
  }

  private func journalWritten() {
    for connection in connections.values { connection.release(upTo: journal.written) }
  }

  /// How long listening may wait for the first word of containerd.
  private static let patience = Duration.milliseconds(60)

  func start(signals descriptor: consuming Descriptor, inherited: InheritedSocket?) async throws {
    signals = try SignalReader(descriptor) { [weak self] number in self?.stop("signal \(number)") }
    runtime.follow()
    // Who connects at once should be greeted with what is so a few milliseconds later.
    await runtime.waitForFirstAttempt(atMost: Server.patience)
    if isStopping { return }
    if options.stdio { serveStandardIO() } else { try listen(inherited) }
    service.ready()
  }

  private func listen(_ inherited: InheritedSocket?) throws {
    listener = try Listener(options: options, inherited: inherited, log: log) { [weak self] in
      self?.accepted($0)
    }
    log.info("listening", metadata: ["socket": "\(inherited == nil ? options.listen : "inherited")"])
    if let unused = inherited?.unused, !unused.isEmpty {
      log.warning("handed over, but of no use", metadata: ["sockets": "\(unused)"])
    }
  }

  private func serveStandardIO() {
    let connection = Connection(
      server: self, input: Descriptor(owning: dup(STDIN_FILENO)),
      output: Descriptor(owning: dup(STDOUT_FILENO)))
    _ = clinux_set_nonblocking(STDIN_FILENO)
    _ = clinux_set_nonblocking(STDOUT_FILENO)
    accept(connection)
  }

  private func accepted(_ descriptor: Int32) {
    accept(Connection(server: self, input: Descriptor(owning: descriptor)))
  }

  private func accept(_ connection: Connection) {
    connectionsAccepted += 1
    connections[ObjectIdentifier(connection)] = connection
    connection.open(greeting: greeting)
  }

  func closed(_ connection: Connection) {
    connections[ObjectIdentifier(connection)] = nil
    if options.stdio { stop("end of stdin") }
  }

  var connectionCount: Int { connections.count }
  var commandsInFlight: Int { connections.values.reduce(0) { $0 + $1.inflightCount } }
  var bytesWaiting: Int { connections.values.reduce(0) { $0 + $1.waitingBytes } }

  /// Does something in a task of its own, which no cancellation reaches and the worker's end waits for.
  func cleanUp(_ body: @escaping @Loop () async -> Void) async {
    cleanUps += 1
    await Task { @Loop in await body() }.value
    cleanUps -= 1
  }

  func kill(_ process: ContainerProcess) {
    cleanUps += 1
    Task { @Loop in
      defer { cleanUps -= 1 }
      await runtime.kill(process)
    }
  }

  // MARK: - Stop

  private func stop(_ reason: String) {
    if isStopping { return }
    isStopping = true
    log.info("stopping", metadata: ["reason": "\(reason)"])
    service.stopping(commandsInFlight: commandsInFlight)
    listener?.close()
    broadcast(EventEncoder.record(.workerDraining, in: journal))
    Task { @Loop in
      await drain()
      await runtime.stop()
      await journal.close()
      Loop.stop()
    }
  }

  /// Every command gets its reply, and who reads gets what was to be told.
  private func drain() async {
    // A client that has gone may have left something in a lane.
    let isIdle = { @Loop [self] in !queue.isAtContainers && connections.values.allSatisfy { $0.isIdle } }
    await wait(atMost: Server.drainTime, until: isIdle)
    for connection in connections.values { connection.stopAll() }
    await wait(atMost: Ticket.grace + .seconds(1), until: isIdle)
    // Only what clears away has not been answered now.
    await wait(atMost: Ticket.graceOfClearing) { connections.values.allSatisfy { $0.isIdle } }
    for connection in connections.values { connection.finish() }
    await wait(atMost: Connection.farewell) { connections.isEmpty }
    for connection in connections.values { connection.close() }
    // What ends with its connection ends before containerd is out of reach.
    await wait(atMost: Server.drainTime) { cleanUps == 0 && service.hasTold }
  }

  private func wait(atMost time: Duration, until isSo: () -> Bool) async {
    for _ in 0..<500 where !isSo() { await Loop.sleep(time / 500) }
  }

  /// Frees what only the main thread may, after the loop has ended.
  nonisolated func shutDown() {
    containerd.shutDown()
  }

  private func broadcast(_ event: StoredEvent) {
    let position = journal.appended
    for connection in connections.values { connection.send(event, onceWritten: position) }
  }

  /// Descriptors go over sockets only.
  var features: [Feature] { Feature.allCases.filter { !options.stdio || $0 != .attachFD } }

  private var greeting: [UInt8] {
    var bytes: [UInt8] = []
    ServerLine.write(into: &bytes) { writer in
      writer.object("hello") { writer in
        writer.field("protocol", 1)
        writer.object("worker") {
          $0.field("name", "containerd-worker")
          $0.field("version", workerVersion)
        }
        writer.field("epoch", journal.epoch)
        writer.object("containerd") {
          if let version = runtime.version {
            $0.field("version", version.version)
          } else {
            $0.null("version")
          }
          $0.field("connected", runtime.connected)
        }
        writer.field("namespace", options.namespace)
        writer.array("features") { writer in
          for feature in features { writer.element(feature.rawValue) }
        }
        writer.object("limits") {
          $0.field("line", Limits.line)
          $0.field("depth", Limits.depth)
          $0.field("inflight", Limits.inflight)
          $0.field("chunk", Limits.chunk)
          $0.field("window", Limits.window)
          $0.field("backlog", Limits.backlog)
          $0.field("stdin", Limits.stdinBuffer)
          $0.field("output", Limits.outputBuffer)
        }
        writer.object("events") {
          $0.field("first", journal.first)
          $0.field("last", journal.last)
        }
      }
    }
    return bytes
  }
}

extension Server: RuntimeObserver {
  func runtime(_ event: LifecycleEvent) {
    broadcast(EventEncoder.record(event, in: journal))
    service.tell(of: event)
  }

  func startIsSettled(_ process: ContainerProcess, _ fate: Fate) {
    let trace: StoredKey.Trace? =
      switch fate {
      case .started: .started(JSONValue.object(process.started).encoded)
      case .unknown: .mayHaveRun
      case .withdrawn: nil
      }
    keys.note(trace, of: process.origin.key)
  }

  func stdinBroke(_ process: ContainerProcess) {
    tellOfStdin(process, .stdinBroken) { $0.attachments.isAttached(to: process) }
  }

  func stdinTakes(_ process: ContainerProcess, upTo offset: UInt64) {
    tellOfStdin(process, .stdinCredit, offset: offset) { $0.attachments.followsStdin(of: process) }
  }

  private func tellOfStdin(
    _ process: ContainerProcess, _ event: EventName, offset: UInt64? = nil, _ isTold: (Connection) -> Bool
  ) {
    var bytes: [UInt8] = []
    ServerLine.write(into: &bytes) { writer in
      writer.field("event", event.rawValue)
      writer.field("container", process.container)
      writer.field("process", process.name.description)
      writer.field("offset", optional: offset)
    }
    for connection in connections.values where isTold(connection) { connection.send { $0 += bytes } }
  }
}

/// An earlier worker could have more descriptors or memory than this one. Its containers wait for one that can, too.
private struct TakeOverFailure: Error, CustomStringConvertible {
  let cause: SystemError

  var description: String { "cannot take over what runs, of which nothing is lost: \(cause)" }
}
