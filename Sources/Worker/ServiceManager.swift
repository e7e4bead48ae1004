internal import CLinux
internal import FIFOIO
internal import Glibc
internal import Logging
internal import Runtime

/// What a service manager wants to be told, from the environment: sd_notify(3), sd_watchdog_enabled(3).
struct ServiceOptions {
  /// A path, or a name in the abstract namespace after `@`.
  var address: String?
  /// So often it must be told that the worker lives.
  var watchdog: Duration?

  /// Before any thread starts.
  static func take() throws(EnvironmentError) -> ServiceOptions {
    var options = ServiceOptions(address: Environment.take("NOTIFY_SOCKET"))
    let pid: pid_t? = try Environment.takeNumber("WATCHDOG_PID")
    let microseconds: Int64? = try Environment.takeNumber("WATCHDOG_USEC")
    if let microseconds, (pid ?? getpid()) == getpid() { options.watchdog = .microseconds(microseconds) }
    guard let first = options.address?.first, first != "/" && first != "@" else { return options }
    throw EnvironmentError(description: "NOTIFY_SOCKET is neither a path nor an abstract name")
  }
}

/// Tells the service manager how the worker is. Where there is none it does nothing.
///
/// Nothing here waits: a message that finds no room is sent again a little later, and those after it stay behind it.
@Loop
final class ServiceManager {
  private let address: String?
  private let watchdog: Duration?
  private let log: Logger
  private var unsent: [String] = []
  /// What is known of containerd, for a person; told from `ready` on.
  private var containerd = "containerd has not answered yet"
  private var isReady = false

  private static let patience = Duration.milliseconds(50)

  init(_ options: ServiceOptions, log: Logger) {
    address = options.address
    watchdog = options.address == nil ? nil : options.watchdog
    self.log = log
  }

  /// Who connects from now on is served.
  func ready() {
    isReady = true
    tell("READY=1\nSTATUS=\(containerd)")
    keepWatch()
  }

  func stopping(commandsInFlight: Int) {
    isReady = false
    tell("STOPPING=1\nSTATUS=stopping; commands in flight: \(commandsInFlight)")
  }

  /// What `systemctl status` is to show of what happens.
  func tell(of event: LifecycleEvent) {
    switch event {
    case .containerdConnected(let tasks, _): containerd = "containerd is connected; it had tasks: \(tasks)"
    case .containerdDisconnected(let reason):
      containerd = "containerd is away: \(ServiceManager.line(reason))"
    default: return
    }
    if isReady { tell("STATUS=\(containerd)") }
  }

  /// On the loop, so that it stops when the loop hangs; twice as often as asked, as sd_watchdog_enabled(3) advises.
  private func keepWatch() {
    guard let watchdog else { return }
    if unsent.isEmpty { tell("WATCHDOG=1") }
    _ = Poller.shared.schedule(after: watchdog / 2) { [weak self] in self?.keepWatch() }
  }

  /// Whether all of it has gone out.
  var hasTold: Bool { unsent.isEmpty }

  private func tell(_ message: String) {
    if address == nil { return }
    unsent.append(message)
    if unsent.count == 1 { send() }
  }

  private func send() {
    guard let address else { return }
    while var message = unsent.first {
      let sent = message.withUTF8 { clinux_notify(address, $0.baseAddress, $0.count) }
      if sent < 0 && errno == EAGAIN {
        _ = Poller.shared.schedule(after: ServiceManager.patience) { [weak self] in self?.send() }
        return
      }
      if sent < 0 {
        let error = SystemError.last("send to \(address)")
        log.warning("cannot tell the service manager", metadata: ["error": "\(error)"])
      }
      unsent.removeFirst()
    }
  }

  /// A message is lines of assignments: what others wrote must not become one.
  private static func line(_ text: String) -> String {
    String(text.map { $0.isNewline ? " " : $0 })
  }
}
