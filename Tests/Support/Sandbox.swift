internal import Foundation

/// The directory below which everything lives that this test process starts.
///
/// A guard process watches a pipe whose other end only this process has. However the process ends, by an
/// assertion, a crash or SIGKILL too, the guard ends what belongs to the directory and removes it.
package enum Sandbox {
  /// The directory itself; the first use makes it. Short, as paths of sockets below it must be.
  package static let directory: String = {
    // A worker that closes its end must not end the tests.
    signal(SIGPIPE, SIG_IGN)
    var template = Array("/tmp/cw-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { fatalError("mkdtemp: \(errnoText())") }
    let directory = template.withUnsafeBufferPointer {
      String(decoding: $0.dropLast().map(UInt8.init), as: UTF8.self)
    }
    chmod(directory, 0o711)
    startGuard(directory)
    return directory
  }()

  /// The repository's folder of scripts.
  package static let scripts: String = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("scripts").path

  /// A new directory in the sandbox, empty and only for root.
  package static func newDirectory(_ purpose: String) throws -> String {
    let path = "\(directory)/\(purpose)\(counter.next())"
    guard mkdir(path, 0o700) == 0 else { throw SystemError(call: "mkdir \(path)") }
    return path
  }

  /// A containerd namespace that nobody else uses.
  package static func newNamespace() -> String { "\(directory.dropFirst(5))-\(counter.next())" }

  private static let counter = Counter()

  private static func startGuard(_ directory: String) {
    do {
      let pipe = try Pipe.make()
      let child = try ChildProcess(
        "/bin/bash", ["\(scripts)/private-containerd", "guard", directory], input: pipe.read)
      pipe.read.close()
      watched.store(pipe.write, child)
      // At a normal end wait, so that nothing is left when the process is gone.
      atexit { Sandbox.watched.end() }
    } catch {
      fatalError("cannot start the guard: \(error)")
    }
  }

  private static let watched = Watched()
}

/// The guard and our end of its pipe.
private final class Watched: @unchecked Sendable {
  // Written once before `atexit` and read once in it.
  private var pipe: Descriptor?
  private var child: ChildProcess?

  func store(_ pipe: Descriptor, _ child: ChildProcess) {
    self.pipe = pipe
    self.child = child
  }

  func end() {
    pipe?.close()
    _ = child?.waitBlocking()
  }
}

/// Numbers from 1.
package final class Counter: Sendable {
  private let value = Locked(0)
  package init() {}
  package func next() -> Int {
    value.with {
      $0 += 1
      return $0
    }
  }
}
