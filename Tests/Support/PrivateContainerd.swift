internal import Foundation
package import Glibc

/// A containerd of the tests' own, below the sandbox.
package final class PrivateContainerd: Sendable {
  package let directory: String
  package var address: String { "\(directory)/c.sock" }
  private let process = Locked<ChildProcess?>(nil)

  /// One for all tests that do not harm it.
  package static func shared() async throws -> PrivateContainerd { try await sharedTask.value }
  private static let sharedTask = Task { try await PrivateContainerd.start() }

  private init(directory: String) {
    self.directory = directory
  }

  /// Makes the configuration; nothing runs yet.
  package static func configure() async throws -> PrivateContainerd {
    let directory = try Sandbox.newDirectory("c")
    let made = try await ChildProcess.run("\(Sandbox.scripts)/private-containerd", ["config", directory])
    guard made.status == .exited(0) else { throw TestFailure("config: \(made.output)") }
    return PrivateContainerd(directory: directory)
  }

  package static func start() async throws -> PrivateContainerd {
    let containerd = try await configure()
    try await containerd.start()
    return containerd
  }

  /// Starts it, again too, and waits until it answers.
  package func start() async throws {
    let log = Descriptor(
      open("\(directory)/containerd.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600))
    guard let program = Self.program("containerd") else { throw TestFailure("no containerd in \(Self.path)") }
    // The shim, runc and criu are looked for there, too.
    let child = try ChildProcess(
      program, ["--config", "\(directory)/config.toml"],
      environment: ["PATH": Self.path.joined(separator: ":")], output: log, error: log)
    process.with { $0 = child }
    let address = address
    _ = try await offPool {
      try UnixSocket.waitUntilListening(address, seconds: 20) { child.status == nil }
    }
  }

  /// Where it and all that it calls are looked for: first in CONTAINERD_BIN, directories with a colon between them.
  private static let path: [String] = {
    let own = ProcessInfo.processInfo.environment["CONTAINERD_BIN"] ?? ""
    return (own + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(separator: ":").map(
      String.init)
  }()

  private static func program(_ name: String) -> String? {
    path.map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Whether containerd would find a program.
  package static func finds(_ name: String) -> Bool { program(name) != nil }

  /// SIGKILL: shims and containers go on.
  package func kill() async {
    guard let child = process.with({ $0 }) else { return }
    child.signal(SIGKILL)
    _ = await child.wait()
  }

  /// Takes away what it would find of a namespace's tasks when it is started again, and what runc knows of the containers.
  package func loseTasks(of namespace: String) throws {
    try FileManager.default.removeItem(atPath: "/run/containerd/runc/\(namespace)")
    for kind in ["state", "root"] {
      try FileManager.default.removeItem(
        atPath: "\(directory)/\(kind)/io.containerd.runtime.v2.task/\(namespace)")
    }
  }

  /// SIGSTOP, and waits until every thread of it stands.
  package func freeze() async throws {
    guard let child = process.with({ $0 }) else { return }
    try await child.freeze()
  }

  /// SIGCONT.
  package func thaw() {
    process.with { $0 }?.signal(SIGCONT)
  }

  /// The shims that are still there after a while. One whose Create was cancelled ends in containerd's own time, of
  /// which nothing tells.
  package func remainingShims(of namespace: String) async throws -> [String] {
    try await offPool { [self] in
      let end = Date(timeIntervalSinceNow: 20)
      while true {
        // Looked at once a round: what is ending comes and goes between two looks.
        let remaining = shims(of: namespace)
        if remaining.isEmpty || Date() > end { return remaining }
        usleep(20_000)
      }
    }
  }

  /// The command lines of the shims that are its own.
  package func shims(of namespace: String) -> [String] {
    shimPIDs(of: namespace).map(ProcessList.commandLine)
  }

  /// The shim of a container, or of all of a namespace.
  package func shimPIDs(of namespace: String, container: String? = nil) -> [pid_t] {
    ProcessList.pids().filter { pid in
      let line = ProcessList.commandLine(of: pid)
      return line.contains("containerd-shim") && line.contains("\(directory)/")
        // With its end: "…-1" is in "…-12", too.
        && line.contains("-namespace \(namespace) ")
        && (container.map { line.contains("-id \($0) ") } ?? true)
    }
  }
}

/// What a test could not go on without.
package struct TestFailure: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// /proc, as far as tests look at it.
package enum ProcessList {
  package static func commandLines() -> [String] { pids().map(commandLine) }

  package static func pids() -> [pid_t] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }
  }

  /// Empty for one that is gone.
  package static func commandLine(of pid: pid_t) -> String {
    let bytes = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
    return String(decoding: bytes.map { $0 == 0 ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
  }

  /// SIGSTOP for a process that is not ours, and returns when every thread of it stands: kill(2) does not wait for that.
  package static func freeze(_ pid: pid_t) async throws {
    kill(pid, SIGSTOP)
    try await offPool {
      let end = Date(timeIntervalSinceNow: 20)
      while true {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        let states = threads.compactMap { thread in
          (try? String(contentsOfFile: "/proc/\(pid)/task/\(thread)/stat", encoding: .utf8))?
            .split(separator: ")").last?.split(separator: " ").first
        }
        if !states.isEmpty, states.allSatisfy({ $0 == "T" }) { return }
        if Date() > end { throw TestFailure("\(pid) does not stop: \(states)") }
        usleep(1000)
      }
    }
  }

  /// Returns when a process has ended and been waited for.
  package static func untilGone(_ pid: pid_t, seconds: Double = 20) async throws {
    try await offPool {
      let end = Date(timeIntervalSinceNow: seconds)
      while kill(pid, 0) == 0 {
        if Date() > end { throw TestFailure("\(pid) does not end") }
        usleep(5000)
      }
    }
  }

  /// What the descriptors of a process point to.
  package static func descriptors(of pid: pid_t) -> [String] {
    let directory = "/proc/\(pid)/fd"
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return entries.compactMap {
      try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)")
    }
  }

  /// Resident memory in KiB.
  package static func residentKiB(of pid: pid_t) -> Int {
    let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
  }
}

/// Root file systems for containers.
package enum RootFilesystem {
  /// One for all tests, which do not write to it.
  package static func busybox() async throws -> String { try await shared.value }

  private static let shared = Task {
    let directory = try Sandbox.newDirectory("rootfs")
    let made = try await ChildProcess.run("\(Sandbox.scripts)/busybox-rootfs", [directory])
    guard made.status == .exited(0) else { throw TestFailure("busybox-rootfs: \(made.output)") }
    return directory
  }
}
