internal import Foundation

/// runc under another name, with a shell script before each of its calls.
package struct WrappedRunc {
  package let program: String
  private let directory: String

  /// - Parameter script: has the arguments of the call in `$@`, and `$directory` for files of its own.
  package init(_ script: String) async throws {
    directory = try Sandbox.newDirectory("runc")
    program = directory + "/wrapped-runc"
    let text = directory + "/text"
    try "#!/bin/sh\ndirectory=\(directory)\n\(script)\nexec runc \"$@\"\n".write(
      toFile: text, atomically: true, encoding: .utf8)
    // Not written here: a child that is just being forked may hold it open, and what is written to cannot be run (ETXTBSY).
    let made = try await ChildProcess.run("/usr/bin/install", ["-m", "755", text, program])
    guard made.status == .exited(0) else { throw TestFailure("install: \(made.output)") }
  }

  /// What makes it a container's.
  package var runtime: JSON { ["name": "io.containerd.runc.v2", "options": ["binary_name": JSON(program)]] }

  /// One that leaves a mark for each call.
  package static func marking() async throws -> WrappedRunc {
    try await WrappedRunc("echo \"$@\" >>$directory/marks")
  }

  package var marks: String { (try? String(contentsOfFile: directory + "/marks", encoding: .utf8)) ?? "" }

  /// One whose deletion waits, until what `heldDeletion()` gives is closed.
  package static func holdingDeletion() async throws -> WrappedRunc { try await holding("delete") }

  /// One whose first call of a command waits, until what `held()` gives is closed.
  package static func holding(_ command: String) async throws -> WrappedRunc {
    try await gated("*' \(command) '*) \(wait);;")
  }

  /// One that does what a command says, waits in the same way, and fails then.
  package static func failing(behind command: String) async throws -> WrappedRunc {
    try await gated("*' \(command) '*) runc \"$@\"; \(wait); exit 1;;")
  }

  private static let wait = "if [ -p $directory/gate ]; then read x <$directory/gate; fi"

  private static func gated(_ cases: String) async throws -> WrappedRunc {
    let runc = try await WrappedRunc("case \" $* \" in \(cases) esac")
    guard mkfifo(runc.directory + "/gate", 0o600) == 0 else { throw SystemError(call: "mkfifo") }
    return runc
  }

  package func heldDeletion() async throws -> Descriptor { try await held() }

  /// Waits until the command is held, and gives the gate: closed, it lets this one go on, and all that come.
  package func held() async throws -> Descriptor {
    let gate = directory + "/gate"
    return try await offPool {
      let deadline = Date(timeIntervalSinceNow: 20)
      while true {
        // Fails while nobody is there to read; one that waits for that would wait for ever.
        let end = open(gate, O_WRONLY | O_CLOEXEC | O_NONBLOCK)
        if end < 0, errno == ENXIO, Date() < deadline {
          usleep(5000)
          continue
        }
        guard end >= 0, unlink(gate) == 0 else { throw SystemError(call: "open \(gate)") }
        return Descriptor(end)
      }
    }
  }
}
