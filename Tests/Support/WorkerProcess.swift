internal import Foundation
internal import Glibc

/// The worker as a process, with a socket, state directory and namespace of its own.
package final class WorkerProcess: Sendable {
  package let process: ChildProcess
  package let socket: String
  package let stateDirectory: String
  package let namespace: String
  private let logPath: String

  init(
    process: ChildProcess, socket: String, stateDirectory: String, namespace: String, logPath: String
  ) {
    self.process = process
    self.socket = socket
    self.stateDirectory = stateDirectory
    self.namespace = namespace
    self.logPath = logPath
  }

  deinit { process.signal(SIGKILL) }

  /// Starts one and waits until it listens.
  package static func start(
    containerd: String, options: [String] = [], socket: String? = nil, stateDirectory: String? = nil,
    namespace: String? = nil
  ) async throws -> WorkerProcess {
    let directory = try Sandbox.newDirectory("w")
    let socket = socket ?? "\(directory)/w.sock"
    let state = stateDirectory ?? "\(directory)/state"
    let namespace = namespace ?? Sandbox.newNamespace()
    let logPath = "\(directory)/log"
    let log = Descriptor(open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600))
    let process = try ChildProcess(
      try binary(),
      arguments(containerd: containerd, socket: socket, stateDirectory: state, namespace: namespace)
        + options,
      environment: ["SWIFT_BACKTRACE": "enable=no"], error: log)
    let worker = WorkerProcess(
      process: process, socket: socket, stateDirectory: state, namespace: namespace, logPath: logPath)
    do {
      _ = try await offPool { try UnixSocket.waitUntilListening(socket) { process.status == nil } }
    } catch {
      throw TestFailure("\(error); log:\n\(worker.log)")
    }
    return worker
  }

  /// The options that every test gives.
  static func arguments(
    containerd: String, socket: String, stateDirectory: String, namespace: String
  ) -> [String] {
    [
      "--listen", socket, "--containerd-address", containerd, "--state-dir", stateDirectory, "--namespace",
      namespace,
    ]
  }

  package var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

  package func connect() throws -> LineClient {
    guard let descriptor = try UnixSocket.connect(socket) else {
      throw TestFailure("nobody listens at \(socket)")
    }
    return LineClient(descriptor, log: { [weak self] in self?.log ?? "" })
  }

  /// SIGTERM, and how it ended.
  package func terminate() async -> ExitStatus { await process.terminate() }

  package var descriptors: [String] { ProcessList.descriptors(of: process.pid) }
  package var residentKiB: Int { ProcessList.residentKiB(of: process.pid) }

  /// The program beside the tests.
  package static func binary() throws -> String {
    if let path = ProcessInfo.processInfo.environment["CONTAINERD_WORKER"] { return path }
    // Under `swift test` the running program is either the test bundle or a helper that is told where that is.
    let arguments = CommandLine.arguments
    let bundle = arguments.firstIndex(of: "--test-bundle-path").map { arguments[$0 + 1] }
    let candidates = [
      bundle, Bundle.main.executablePath,
      try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"),
    ]
    for case let path? in candidates {
      let program = URL(fileURLWithPath: path).deletingLastPathComponent().appendingPathComponent(
        "containerd-worker"
      ).path
      if FileManager.default.isExecutableFile(atPath: program) { return program }
    }
    throw TestFailure("no containerd-worker beside the tests: \(arguments)")
  }
}
