internal import ArgumentParser
internal import CLinux
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging
internal import Protocol
internal import Runtime

/// The program's command line.
@main
struct ContainerdWorker: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "containerd-worker",
    abstract: "Runs containers for whoever writes JSON lines to its Unix socket.",
    version: workerVersion,
    subcommands: [Serve.self],
    defaultSubcommand: Serve.self)
}

let workerVersion = "0.1.0"

/// Serves until SIGTERM or SIGINT. Containers go on running.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve clients until SIGTERM or SIGINT (default).")

  @Option(
    help: ArgumentHelp(
      "The Unix socket to listen on, unless a service manager hands one over.", valueName: "path"))
  var listen = "/run/containerd-worker/worker.sock"

  @Option(help: ArgumentHelp("containerd's Unix socket.", valueName: "path"))
  var containerdAddress = "/run/containerd/containerd.sock"

  @Option(help: ArgumentHelp("The namespace of containerd to work in.", valueName: "name"))
  var namespace = "worker"

  @Option(
    help: ArgumentHelp(
      "A directory of the worker's own, for the FIFOs and the journal; the next worker goes on from it.",
      valueName: "directory"))
  var stateDir = "/run/containerd-worker/state"

  @Option(help: ArgumentHelp("Events that are kept for who comes later, at most.", valueName: "MiB"))
  var journalSize = 64

  @Option(help: ArgumentHelp("How long events are kept.", valueName: "seconds"))
  var journalAge = 86_400

  @Option(help: ArgumentHelp("The runtime of containers that name none.", valueName: "name"))
  var runtime = "io.containerd.runc.v2"

  @Option(help: "trace, debug, info, notice, warning, error or critical; the log goes to stderr.")
  var logLevel: LogLevel = .info

  @Option(
    help: ArgumentHelp(
      "One more user id that may connect, beside root and the worker's own.", valueName: "uid"))
  var allowUid: [UInt32] = []

  @Option(help: ArgumentHelp("A group id whose members' processes may connect.", valueName: "gid"))
  var allowGid: [UInt32] = []

  @Option(
    help: ArgumentHelp(
      "The worker's niceness; 0 leaves what it was started with. Below 0 its answers do not wait for the processors that"
        + " hundreds of containers use.", valueName: "n"))
  var nice: Int32 = -10

  @Flag(help: "Leave the directories and FIFOs of deleted containers, to look for a fault.")
  var keepBundles = false

  @Flag(help: "Speak on stdin and stdout instead of a socket, until the end of stdin.")
  var stdio = false

  func validate() throws {
    guard Identifier.isValid(namespace) else {
      throw ValidationError("--namespace must be \(Identifier.rule)")
    }
    guard containerdAddress.hasPrefix("/") else {
      throw ValidationError("--containerd-address must be an absolute path")
    }
    guard (1...65536).contains(journalSize), (1...1_000_000_000).contains(journalAge) else {
      throw ValidationError("--journal-size takes 1 to 65536, --journal-age 1 to 1000000000")
    }
    guard (-20...19).contains(nice) else { throw ValidationError("--nice takes -20 to 19") }
  }

  func run() throws {
    // Before any thread starts, and before descriptor 3 can be one of ours.
    let inherited = try InheritedSocket.take()
    let service = try ServiceOptions.take()
    if stdio, inherited != nil {
      throw ValidationError("--stdio has no use for the socket that was handed over")
    }
    // Before any thread starts: the signals stay blocked in all of them.
    signal(SIGPIPE, SIG_IGN)
    // A shell's 1024 are enough for 500 containers, and it lets us have more.
    clinux_raise_descriptor_limit()
    let signals = clinux_signalfd([SIGTERM, SIGINT], 2)
    LoggingSystem.bootstrap { StderrLog(label: $0) }
    var log = Logger(label: "containerd-worker")
    log.logLevel = logLevel.level
    // Before the start-up task can fail, so that its failure becomes the exit status.
    let outcome = Outcome()
    outcome.directory = try StateDirectory(stateDir)
    // While there is one thread: it forks.
    let keeper = keeper(log)
    if nice != 0, !clinux_set_nice(nice) { log.debug("may not be that nice", metadata: ["nice": "\(nice)"]) }
    Task { @Loop in
      do {
        FIFOKeeper.shared = keeper.map { link in
          FIFOKeeper(link) { log.error("FIFOs are not kept any more", metadata: ["error": "\($0)"]) }
        }
        let journal = try await Journal.open(
          in: stateDir, limits: JournalLimits(bytes: journalSize << 20, age: .seconds(journalAge)), log: log)
        let server = try Server(
          options: self, journal: journal, service: ServiceManager(service, log: log), log: log)
        outcome.server = server
        try await server.start(signals: Descriptor(owning: signals), inherited: inherited)
      } catch {
        outcome.failure = "\(error)"
        Loop.stop()
      }
    }
    Loop.run()
    outcome.finish()
  }

  private func keeper(_ log: Logger) -> FIFOKeeper.Link? {
    do throws(SystemError) {
      return try FIFOKeeper.Link(stateDir + "/keeper.sock")
    } catch {
      log.error("what is in FIFOs will not outlive the worker", metadata: ["error": "\(error)"])
      return nil
    }
  }
}

/// What the loop leaves to the main thread when it has ended.
private final class Outcome: @unchecked Sendable {
  // Written on the loop's thread only, which is the main thread; read by it after the loop's end.
  var failure: String?
  var server: Server?
  /// Held as long as the worker lives.
  var directory: StateDirectory?

  func finish() {
    if let failure {
      clinux_print_error("containerd-worker: \(failure)\n")
      exit(1)
    }
    server?.shutDown()
  }
}

enum LogLevel: String, ExpressibleByArgument, CaseIterable {
  case trace, debug, info, notice, warning, error, critical

  var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}
