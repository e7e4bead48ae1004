import Foundation
import Glibc
import Testing
import TestSupport

/// A session over the worker's own stdin and stdout.
@Suite(.serialized)
struct StandardIOTests {
  /// Another worker, on its standard input and output.
  private func speaker(_ bed: TestBed, input: Descriptor, output: Descriptor) throws -> ChildProcess {
    try ChildProcess(
      WorkerProcess.binary(),
      [
        "--stdio", "--containerd-address", bed.containerd.address, "--state-dir",
        bed.worker.stateDirectory + "2",
        "--namespace", Sandbox.newNamespace(),
      ], input: input, output: output)
  }

  @Test func itSpeaksOnStandardIO() async throws {
    let bed = try await TestBed.start()
    let (input, output) = (try Pipe.make(), try Pipe.make())
    let process = try speaker(bed, input: input.read, output: output.write)
    input.read.close()
    output.write.close()
    let line =
      #"{"command":"run","id":1,"arguments":{"rootfs":"\#(bed.rootfs)","args":["echo","hi"]}}"# + "\n"
    _ = Array(line.utf8).withUnsafeBytes { write(input.write.rawValue, $0.baseAddress, $0.count) }
    input.write.close()
    // The end of stdin is the end of the worker, once the command is done.
    #expect(await process.wait() == .exited(0))
    var bytes = [UInt8](repeating: 0, count: 65536)
    let count = bytes.withUnsafeMutableBytes { read(output.read.rawValue, $0.baseAddress, $0.count) }
    let lines = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    #expect(
      lines.hasPrefix(#"{"hello""#) && lines.contains(#""text":"hi\n""#) && lines.contains(#""exit_code":0"#))
    try await bed.finish()
  }

  @Test func anOutputThatIsAFileCostsNothing() async throws {
    let bed = try await TestBed.start()
    let path = try Sandbox.newDirectory("stdio") + "/out"
    let (input, output) = (try Pipe.make(), Descriptor(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)))
    let process = try speaker(bed, input: input.read, output: output)
    input.read.close()
    output.close()
    func lines() throws -> [Substring] {
      try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    }
    try await until("there is a line") { try !lines().isEmpty }
    // Nothing comes, so there is nothing to read.
    let before = try reads(by: process.pid)
    try await Task.sleep(for: .milliseconds(100))
    #expect(try reads(by: process.pid) < before + 100)
    let line = #"{"command":"ping","id":1}"# + "\n"
    _ = Array(line.utf8).withUnsafeBytes { write(input.write.rawValue, $0.baseAddress, $0.count) }
    input.write.close()
    #expect(await process.wait() == .exited(0))
    #expect(try lines().contains { $0.hasPrefix(#"{"result":{},"id":1"#) })
    try await bed.finish()
  }

  /// Calls of read(2) and its like so far.
  private func reads(by pid: pid_t) throws -> Int {
    let lines = try String(contentsOfFile: "/proc/\(pid)/io", encoding: .utf8).split(separator: "\n")
    let calls = try #require(lines.first { $0.hasPrefix("syscr:") })
    return try #require(Int(calls.split(separator: " ")[1]))
  }

  @Test func anInputThatIsAFileIsAnsweredAtTheReadersPace() async throws {
    let bed = try await TestBed.start()
    let path = try Sandbox.newDirectory("stdio") + "/in"
    try ("{\n" + String(repeating: #"{"command":"describe"}"# + "\n", count: 5)).write(
      toFile: path, atomically: true, encoding: .utf8)
    let (input, output) = (Descriptor(open(path, O_RDONLY | O_CLOEXEC)), try Pipe.make())
    let process = try speaker(bed, input: input, output: output.write)
    input.close()
    output.write.close()
    // It has filled the pipe and waits.
    var waiting: Int32 = 0
    try await until("the pipe is full") {
      _ = ioctl(output.read.rawValue, UInt(FIONREAD), &waiting)
      return waiting >= 60_000
    }
    let reader = output.read
    let bytes = try await offPool {
      var bytes: [UInt8] = []
      var part = [UInt8](repeating: 0, count: 65536)
      while true {
        var ready = pollfd(fd: reader.rawValue, events: Int16(POLLIN), revents: 0)
        if poll(&ready, 1, 5000) != 1 { throw TestFailure("no more after \(bytes.count) bytes") }
        let count = part.withUnsafeMutableBytes { read(reader.rawValue, $0.baseAddress, $0.count) }
        if count <= 0 { return bytes }
        bytes += part.prefix(count)
      }
    }
    // Beside events, as of the connection to containerd.
    let kinds = bytes.split(separator: 0x0A).map { String(decoding: $0.prefix(8), as: UTF8.self) }
    #expect(kinds.first == #"{"hello""# && kinds.count { $0 == #"{"error""# } == 1)
    #expect(kinds.count { $0 == #"{"result"# } == 5)
    #expect(await process.wait() == .exited(0))
    try await bed.finish()
  }
}
