internal import ContainerdAPI
internal import Glibc
internal import GRPC
internal import Synchronization

/// The bare RPC sequence on the same channel code, with a thread that reads each FIFO raw.
final class BareClient {
  private let channel: Channel
  private let metadata: Metadata
  private let directory: String

  init(containerd: String, namespace: String, directory: String) throws {
    channel = try Channel(unixSocket: containerd)
    metadata = Metadata([("containerd-namespace", namespace)])
    self.directory = directory
  }

  /// A container from its creation to its deletion; the bytes of its output.
  func life(_ id: String, spec: [UInt8]) async throws -> Int {
    try await create(id, spec: spec)
    let running = try await start(id)
    try await wait(id)
    let bytes = running.drained()
    try await deleteTask(id)
    try await deleteContainer(id)
    return bytes
  }

  func create(_ id: String, spec: [UInt8]) async throws {
    var container = CDContainer()
    container.id = id
    container.runtime.name = "io.containerd.runc.v2"
    container.spec = .init(json: spec, typeURL: TypeURL.spec)
    var request = CDCreateContainerRequest()
    request.container = container
    _ = try await channel.call(ContainerdService.Containers.create, request, metadata: metadata, timeout: nil)
  }

  /// Create and Start, with all output read.
  func start(_ id: String) async throws -> Running {
    let fifos = try Running(directory: directory, prefix: id)
    var create = CDCreateTaskRequest()
    create.containerID = id
    create.stdout = fifos.stdout
    create.stderr = fifos.stderr
    _ = try await channel.call(ContainerdService.Tasks.create, create, metadata: metadata, timeout: nil)
    var start = CDStartRequest()
    start.containerID = id
    _ = try await channel.call(ContainerdService.Tasks.start, start, metadata: metadata, timeout: nil)
    return fifos
  }

  func exec(_ id: String, _ exec: String, process: [UInt8]) async throws -> Running {
    let fifos = try Running(directory: directory, prefix: id + "-" + exec)
    var add = CDExecProcessRequest()
    add.containerID = id
    add.execID = exec
    add.stdout = fifos.stdout
    add.stderr = fifos.stderr
    add.spec = .init(json: process, typeURL: TypeURL.process)
    _ = try await channel.call(ContainerdService.Tasks.exec, add, metadata: metadata, timeout: nil)
    var start = CDStartRequest()
    start.containerID = id
    start.execID = exec
    _ = try await channel.call(ContainerdService.Tasks.start, start, metadata: metadata, timeout: nil)
    return fifos
  }

  func wait(_ id: String, exec: String = "") async throws {
    var request = CDWaitRequest()
    request.containerID = id
    request.execID = exec
    _ = try await channel.call(ContainerdService.Tasks.wait, request, metadata: metadata, timeout: nil)
  }

  func kill(_ id: String) async throws {
    var request = CDKillRequest()
    request.containerID = id
    request.signal = 9
    _ = try await channel.call(ContainerdService.Tasks.kill, request, metadata: metadata, timeout: nil)
  }

  func deleteTask(_ id: String) async throws {
    var request = CDDeleteTaskRequest()
    request.containerID = id
    _ = try await channel.call(ContainerdService.Tasks.delete, request, metadata: metadata, timeout: nil)
  }

  func deleteExec(_ id: String, _ exec: String) async throws {
    var request = CDDeleteProcessRequest()
    request.containerID = id
    request.execID = exec
    _ = try await channel.call(
      ContainerdService.Tasks.deleteProcess, request, metadata: metadata, timeout: nil)
  }

  func deleteContainer(_ id: String) async throws {
    var request = CDDeleteContainerRequest()
    request.id = id
    _ = try await channel.call(ContainerdService.Containers.delete, request, metadata: metadata, timeout: nil)
  }
}

/// The outputs of one process, each read by a thread of its own until its end.
final class Running {
  let stdout: String
  let stderr: String
  private var threads: [pthread_t] = []

  init(directory: String, prefix: String) throws {
    stdout = "\(directory)/\(prefix)-out"
    stderr = "\(directory)/\(prefix)-err"
    for path in [stdout, stderr] {
      guard mkfifo(path, 0o600) == 0 else { throw BenchFailure("mkfifo \(path)") }
      var thread = pthread_t()
      pthread_create(&thread, nil, drain, Unmanaged.passRetained(Box(path)).toOpaque())
      threads.append(thread)
    }
  }

  /// Waits for the end of both; the bytes that came.
  func drained() -> Int {
    var total = 0
    for thread in threads {
      var result: UnsafeMutableRawPointer?
      pthread_join(thread, &result)
      total += Int(bitPattern: result)
    }
    unlink(stdout)
    unlink(stderr)
    return total
  }
}

private final class Box: Sendable {
  let path: String
  init(_ path: String) { self.path = path }
}

private func drain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  let path = Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().path
  let fd = open(path, O_RDONLY)
  var buffer = [UInt8](repeating: 0, count: 65536)
  var total = 0
  while true {
    let count = buffer.withUnsafeMutableBytes { read(fd, $0.baseAddress, $0.count) }
    if count <= 0 { break }
    total += count
  }
  close(fd)
  return UnsafeMutableRawPointer(bitPattern: total)
}
