internal import Glibc

/// A peer in a process of its own: takes a request a line and answers with the nanoseconds that it took.
final class Peer {
  private let toPeer: Int32
  private let fromPeer: Int32
  private let pid: pid_t
  private var buffer: [UInt8] = []

  init(_ program: String, _ arguments: [String]) throws {
    var (input, output) = ([Int32](repeating: -1, count: 2), [Int32](repeating: -1, count: 2))
    guard pipe(&input) == 0, pipe(&output) == 0 else { throw BenchFailure("no pipes") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input[0], 0)
    posix_spawn_file_actions_adddup2(&actions, output[1], 1)
    for fd in input + output { posix_spawn_file_actions_addclose(&actions, fd) }
    var argv = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for pointer in argv { free(pointer) } }
    var child: pid_t = 0
    guard posix_spawnp(&child, program, &actions, nil, &argv, environ) == 0 else {
      throw BenchFailure("cannot start \(program)")
    }
    close(input[0])
    close(output[1])
    (pid, toPeer, fromPeer) = (child, input[1], output[0])
    // The next peer must not hold these open.
    for fd in [toPeer, fromPeer] { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) }
  }

  deinit {
    close(toPeer)
    close(fromPeer)
    waitpid(pid, nil, 0)
  }

  /// Has it do something; the nanoseconds that it took.
  @discardableResult
  func ask(_ request: String) throws -> UInt64 {
    let bytes = Array((request + "\n").utf8)
    guard write(toPeer, bytes, bytes.count) == bytes.count else { throw BenchFailure("the peer has gone") }
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeFirst(end + 1)
        guard let nanoseconds = UInt64(line) else { throw BenchFailure("\(request): \(line)") }
        return nanoseconds
      }
      var chunk = [UInt8](repeating: 0, count: 4096)
      let count = read(fromPeer, &chunk, chunk.count)
      if count <= 0 { throw BenchFailure("the peer has gone") }
      buffer += chunk[..<count]
    }
  }
}
