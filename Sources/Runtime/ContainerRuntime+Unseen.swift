internal import Glibc
internal import Logging

/// Processes that run on although containerd knows nothing of them any more.
extension ContainerRuntime {
  /// Kills a container's process that was told to be lost or not to have been started, if it runs all the same. Where its
  /// shim is killed, what containerd does to clear up and a deletion may remove the shim's directory from under each other,
  /// and runc's process stays (1.6: "failed to remove runc container"); a containerd that has lost its own state directory
  /// knows of no process.
  func endUnseen(_ task: ContainerProcess) {
    guard task.isOwn, task.exec == nil, task.pid != 0, isInCGroup(task.pid, of: task.container) else {
      return
    }
    log.warning(
      "ends a process that containerd knows nothing of",
      metadata: ["container": "\(task.container)", "pid": "\(task.pid)"])
    Glibc.kill(pid_t(task.pid), SIGKILL)
  }

  /// That is how one is told from another process that has got its pid: in a control group where our own specs put it.
  private func isInCGroup(_ pid: UInt32, of container: String) -> Bool {
    let place = ":/\(containerd.namespace)/\(container)"
    return ProcessFile.read("cgroup", of: pid).split(separator: UInt8(ascii: "\n"))
      .contains { String(decoding: $0, as: UTF8.self).hasSuffix(place) }
  }
}

/// What is in /proc of a process.
enum ProcessFile {
  /// - Returns: its first 4096 bytes; none where there is no such process.
  static func read(_ name: String, of pid: UInt32) -> ArraySlice<UInt8> {
    let file = open("/proc/\(pid)/\(name)", O_RDONLY | O_CLOEXEC)
    if file < 0 { return [] }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(file, &bytes, bytes.count)
    return bytes.prefix(max(0, count))
  }
}
