internal import CLinux
internal import Glibc

/// The FIFOs of one process, in the bundle directory.
package struct FIFOSet: Sendable, Equatable {
  /// Empty where the process has no such stream; containerd takes them so.
  package var stdin = ""
  package var stdout = ""
  package var stderr = ""
  package var terminal = false

  package init(stdin: String, stdout: String, stderr: String, terminal: Bool) {
    self.stdin = stdin
    self.stdout = stdout
    self.stderr = stderr
    self.terminal = terminal
  }

  /// Makes the FIFOs, or none where one cannot be made. A terminal has no stderr.
  ///
  /// - Parameter owner: the user of the process as the host sees it.
  package static func make(
    in directory: String, prefix: String, stdin: Bool, terminal: Bool, owner: (uid: UInt32, gid: UInt32)
  ) throws(SystemError) -> FIFOSet {
    let base = "\(directory)/\(prefix)-"
    let set = FIFOSet(
      stdin: stdin ? base + "stdin" : "", stdout: base + "stdout", stderr: terminal ? "" : base + "stderr",
      terminal: terminal)
    for path in set.paths {
      // One that an earlier process of this id left behind may have a reader or bytes of its own.
      unlink(path)
      unlink(FIFOSet.store(of: path))
      if mkfifo(path, 0o600) != 0 || owner != (0, 0) && chown(path, owner.uid, owner.gid) != 0 {
        let error = SystemError.last("mkfifo \(path)")
        set.remove()
        throw error
      }
    }
    return set
  }

  /// The file that keeps the bytes of a FIFO which were read, or are still to be written.
  package static func store(of path: String) -> String { path + ".bytes" }

  package var paths: [String] { [stdin, stdout, stderr].filter { !$0.isEmpty } }

  /// Removes the FIFOs.
  package func remove() {
    for path in paths { unlink(path) }
  }

  /// Removes every FIFO of a bundle directory and what is kept of it, those of an earlier worker too. What is something
  /// else stays.
  package static func removeAll(in directory: String) {
    for entry in entries(of: directory) where entry.isOurs { unlink("\(directory)/\(entry.name)") }
  }

  /// Whether there is something to remove, the directory or in it: not where all that is left is somebody else's.
  package static func hasOurs(in directory: String) -> Bool {
    let entries = entries(of: directory)
    return entries.isEmpty || entries.contains { $0.isOurs }
  }

  /// The names in a directory.
  package static func names(in directory: String) -> [String] { entries(of: directory).map(\.name) }

  private static func entries(of directory: String) -> [(name: String, isOurs: Bool)] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var entries: [(String, Bool)] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name == "." || name == ".." { continue }
      entries.append((name, entry.pointee.d_type == UInt8(DT_FIFO) || name.hasSuffix(".bytes")))
    }
    return entries
  }

  /// Opens an existing FIFO without waiting for the other end.
  static func open(_ path: String, write: Bool) throws(SystemError) -> Descriptor {
    while true {
      let fd = clinux_open_fifo(path, write)
      if fd < 0 {
        if errno == EINTR { continue }
        throw SystemError.last("open \(path)")
      }
      let descriptor = Descriptor(owning: fd)
      guard clinux_is_fifo(fd) else { throw SystemError(EINVAL, "open \(path): not a FIFO") }
      return descriptor
    }
  }
}
