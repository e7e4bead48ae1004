package import Foundation

/// How a process ended.
package enum ExitStatus: Sendable, Hashable {
  case exited(Int)
  case signaled(Int)

  init(waitStatus: Int32) {
    let signal = waitStatus & 0x7F
    self = signal == 0 ? .exited(Int(waitStatus >> 8) & 0xFF) : .signaled(Int(signal))
  }
}

/// A child process in a process group of its own, with default signals and 0, 1, 2 and those from 3 on as given.
///
/// Foundation's `Process` hands on that SIGPIPE is ignored here, which would hide exactly what the worker has to
/// get right itself, and needs a run loop.
package final class ChildProcess: Sendable {
  package let pid: pid_t
  private let state = Locked(State())

  private struct State: Sendable {
    var status: ExitStatus?
    var waiting: [CheckedContinuation<ExitStatus, Never>] = []
  }

  package init(
    _ path: String, _ arguments: [String], environment: [String: String] = [:], input: Descriptor? = nil,
    output: Descriptor? = nil, error: Descriptor? = nil, more: [Descriptor] = []
  ) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (target, source) in [(Int32(0), input), (1, output), (2, error)] {
      if let source {
        posix_spawn_file_actions_adddup2(&actions, source.rawValue, target)
      } else {
        posix_spawn_file_actions_addopen(&actions, target, "/dev/null", target == 0 ? O_RDONLY : O_WRONLY, 0)
      }
    }

    // Out of the way first: one of them may have the number that another one is to get.
    let copies = more.map { Descriptor(fcntl($0.rawValue, F_DUPFD_CLOEXEC, 100)) }
    defer { for copy in copies { copy.close() } }
    for (target, source) in zip(Int32(3)..., copies) {
      posix_spawn_file_actions_adddup2(&actions, source.rawValue, target)
    }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))

    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var argv = ([path] + arguments).map { strdup($0) }
    var envp = variables.map { strdup("\($0)=\($1)") }
    argv.append(nil)
    envp.append(nil)
    defer { for pointer in argv + envp { free(pointer) } }
    var child: pid_t = 0
    let result = posix_spawn(&child, path, &actions, &attributes, argv, envp)
    guard result == 0 else { throw SystemError(call: "spawn \(path)", code: result) }
    let spawned = child
    pid = spawned
    Thread.detachNewThread { [state] in Self.reap(spawned, state) }
  }

  private static func reap(_ pid: pid_t, _ state: Locked<State>) {
    var information = siginfo_t()
    // First only wait: as long as the process is a zombie its number belongs to nobody else, and `signal`
    // can't hit a stranger.
    while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
    let (status, waiting) = state.with { state in
      var raw: Int32 = 0
      while waitpid(pid, &raw, 0) < 0, errno == EINTR {}
      let status = ExitStatus(waitStatus: raw)
      state.status = status
      defer { state.waiting = [] }
      return (status, state.waiting)
    }
    for continuation in waiting { continuation.resume(returning: status) }
  }

  /// How it ended; nil while it runs.
  package var status: ExitStatus? { state.with { $0.status } }

  package func signal(_ number: Int32) {
    state.with { state in
      if state.status == nil { kill(pid, number) }
    }
  }

  /// SIGSTOP, and returns when it stands: a kernel tells the parent once the last thread has stopped.
  package func freeze() async throws {
    signal(SIGSTOP)
    let pid = pid
    try await offPool {
      var information = siginfo_t()
      while waitid(P_PID, id_t(pid), &information, WSTOPPED | WEXITED | WNOWAIT) != 0, errno == EINTR {}
    }
  }

  package func wait() async -> ExitStatus {
    await withCheckedContinuation { continuation in
      let status = state.with { state in
        if state.status == nil { state.waiting.append(continuation) }
        return state.status
      }
      if let status { continuation.resume(returning: status) }
    }
  }

  /// Like `wait()`, for places without concurrency such as `atexit`.
  package func waitBlocking() -> ExitStatus {
    while true {
      if let status { return status }
      usleep(2000)
    }
  }

  /// Sends SIGTERM and waits; SIGKILL follows after `seconds`, which the status then shows.
  package func terminate(seconds: Double = 20) async -> ExitStatus {
    signal(SIGTERM)
    return await wait(seconds: seconds)
  }

  /// Waits; SIGKILL comes after `seconds`, which the status then shows.
  package func wait(seconds: Double) async -> ExitStatus {
    DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [weak self] in self?.signal(SIGKILL) }
    return await wait()
  }

  /// Runs a program to its end and returns what it wrote to stdout and stderr together.
  package static func run(
    _ path: String, _ arguments: [String], environment: [String: String] = [:]
  ) async throws -> (status: ExitStatus, output: String) {
    let pipe = try Pipe.make()
    let child = try ChildProcess(
      path, arguments, environment: environment, output: pipe.write, error: pipe.write)
    pipe.write.close()
    let output = try await offPool {
      FileHandle(fileDescriptor: pipe.read.rawValue, closeOnDealloc: false).readDataToEndOfFile()
    }
    return (await child.wait(), String(decoding: output, as: UTF8.self))
  }
}
