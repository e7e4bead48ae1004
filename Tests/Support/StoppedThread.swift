internal import Foundation

/// One thread of a process, stopped while the others go on, until `release()`.
///
/// Only its tracer can do that to it (ptrace(2)), a program of its own, whose end lets go.
package final class StoppedThread: Sendable {
  private let tracer: ChildProcess
  private let hold: Descriptor

  private static let script = """
    import ctypes, os, sys
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    thread, attach, wall = int(sys.argv[1]), 16, 0x40000000
    if ptrace(attach, thread, None, None) != 0: sys.exit(os.strerror(ctypes.get_errno()))
    os.waitpid(thread, wall)
    os.write(1, b"stopped")
    sys.stdin.read()
    """

  /// - Parameter name: the thread's own, as in `/proc/<pid>/task/<tid>/comm`.
  package static func of(_ process: ChildProcess, named name: String) async throws -> StoppedThread {
    let directory = "/proc/\(process.pid)/task"
    // The oldest: those that it starts have its name, too.
    let thread = try FileManager.default.contentsOfDirectory(atPath: directory).compactMap(Int.init).filter {
      try String(contentsOfFile: "\(directory)/\($0)/comm", encoding: .utf8) == name + "\n"
    }.min()
    guard let thread else { throw TestFailure("no thread \(name) in \(process.pid)") }
    let (input, output) = (try Pipe.make(), try Pipe.make())
    let tracer = try ChildProcess(
      "/usr/bin/python3", ["-c", script, "\(thread)"], input: input.read, output: output.write)
    output.write.close()
    let said = try await offPool {
      FileHandle(fileDescriptor: output.read.rawValue, closeOnDealloc: false).availableData
    }
    guard !said.isEmpty else { throw TestFailure("cannot stop thread \(thread): \(await tracer.wait())") }
    return StoppedThread(tracer: tracer, hold: input.write)
  }

  private init(tracer: ChildProcess, hold: Descriptor) {
    self.tracer = tracer
    self.hold = hold
  }

  /// Lets it go on, where it is still there.
  package func release() async {
    hold.close()
    _ = await tracer.wait()
  }
}
