import ContainerdAPI
import Foundation
import GRPC
import Glibc
import SwiftProtobuf
import TestSupport
import Testing

/// What is left of containers and tasks whose worker was cut short in deleting them.
@Suite(.serialized)
struct LeftoverTests {
  /// A worker that was killed between containerd's deletion of a container and its own leaves the telling to the next.
  @Test func aDeletionThatWasCutShortIsTold() async throws {
    var life = Life(try await TestBed.start())
    try await life.bed.startContainer("c1", ["true"])
    _ = try await life.client.event("process.closed", container: "c1")
    try await life.client.call("task.delete", ["container": "c1"])
    await life.die()
    // As another worker on another state directory does it.
    let other = try await life.bed.startOther()
    let client = try other.connect()
    try await client.call("container.delete", ["container": "c1"])
    client.close()
    _ = await other.terminate()
    try await life.comeAgain()
    _ = try await life.client.event("container.deleted", container: "c1")
    try await life.finish()
  }

  /// The task that it is asked for may be found gone only then.
  @Test func aTaskThatHasGoneMeanwhileIsDeletedWithItsExit() async throws {
    let containerd = try await PrivateContainerd.start()
    let worker = try await WorkerProcess.start(containerd: containerd.address)
    let client = try worker.connect()
    let rootfs = JSON(try await RootFilesystem.busybox())
    try await client.call(
      "container.create", ["container": "c1", "rootfs": rootfs, "args": ["sh", "-c", "exit 7"]])
    try await client.call("task.start", ["container": "c1"])
    _ = try await client.event("process.closed", container: "c1")
    worker.process.signal(SIGKILL)
    _ = await worker.process.wait()
    let other = try await WorkerProcess.start(containerd: containerd.address, namespace: worker.namespace)
    try await other.connect().call("task.delete", ["container": "c1"])
    #expect(await other.terminate() == .exited(0))
    // What it asks is answered after the command has come.
    try await containerd.freeze()
    let next = try await WorkerProcess.start(
      containerd: containerd.address, stateDirectory: worker.stateDirectory, namespace: worker.namespace)
    let nextClient = try next.connect()
    let deletion = nextClient.post("task.delete", ["container": "c1"])
    try await nextClient.call("ping")
    containerd.thaw()
    #expect(try await nextClient.result(of: deletion)["exit_code"] == 7)
    try await nextClient.call("container.delete", ["container": "c1"])
    #expect(await next.terminate() == .exited(0))
  }

  /// The directory is the last that goes, after the event is written: by it the next worker knows.
  @Test func aDeletionIsToldOnceWhereverItWasCutShort() async throws {
    var life = Life(try await TestBed.start())
    let bundles = life.worker.stateDirectory + "/bundles"
    for id in ["told", "untold"] {
      try await life.client.call(
        "container.create", ["container": JSON(id), "rootfs": JSON(life.bed.rootfs), "args": ["true"]])
    }
    try await life.client.call("container.delete", ["container": "told"])
    await life.die()
    // Each as it is for a moment.
    var request = CDDeleteContainerRequest()
    request.id = "untold"
    try await askContainerd(of: life, ContainerdService.Containers.delete, request)
    // Of the last one not even the creation was told.
    for id in ["told", "untold", "unknown"] { mkdir("\(bundles)/\(id)", 0o700) }
    try await life.comeAgain()
    _ = try await life.client.event("container.deleted", container: "untold")
    #expect(life.events("container.deleted").count == 1)
    try await life.finish()
  }

  /// A start that was cut short may leave a task that containerd shows only after the container was deleted.
  @Test func aTaskOfOursWithoutItsContainerGoes() async throws {
    var life = Life(try await TestBed.start())
    let (containerd, namespace) = (life.bed.containerd, life.worker.namespace)
    try await life.bed.startContainer("c1", ["sleep", "1000"])
    await life.die()
    for suffix in ["", "-wal", "-shm"] { unlink("\(life.worker.stateDirectory)/journal.db\(suffix)") }
    var request = CDDeleteContainerRequest()
    request.id = "c1"
    try await askContainerd(of: life, ContainerdService.Containers.delete, request)
    let worker = try await WorkerProcess.start(
      containerd: containerd.address, socket: life.worker.socket, stateDirectory: life.worker.stateDirectory,
      namespace: namespace)
    #expect(try await containerd.remainingShims(of: namespace) == [], "\(worker.log)")
    #expect(await worker.terminate() == .exited(0))
  }

  /// Of a worker that was killed, or a containerd, while it removed the task of a container that was gone.
  @Test func aPlaceholderIsNoContainerAndGoes() async throws {
    var life = Life(try await TestBed.start())
    var request = CDCreateContainerRequest()
    request.container.id = "c1"
    request.container.labels["containerd-worker/placeholder"] = "1"
    request.container.spec.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    request.container.spec.value = Data("{}".utf8)
    request.container.runtime.name = "io.containerd.runc.v2"
    try await askContainerd(of: life, ContainerdService.Containers.create, request)
    #expect(try await life.client.error("task.start", ["container": "c1"])["code"] == "not_found")
    #expect(try await life.client.call("container.list")["containers"] == [])
    await life.die()
    try await life.comeAgain()
    // Waits for its end.
    try await life.client.call(
      "container.create", ["container": "c1", "rootfs": JSON(life.bed.rootfs), "args": ["true"]])
    #expect(life.events("container.created").count == 1)
    try await life.bed.removeWith(life.client, "c1")
    try await life.finish()
  }

  private func askContainerd<Request: Message, Reply: Message>(
    of life: Life, _ method: UnaryMethod<Request, Reply>, _ request: Request
  ) async throws {
    let (address, namespace) = (life.bed.containerd.address, life.worker.namespace)
    try await Task.detached {
      let channel = try Channel(unixSocket: address)
      defer { channel.shutDown() }
      _ = try await channel.call(
        method, request, metadata: Metadata([("containerd-namespace", namespace)]), timeout: .seconds(10))
    }.value
  }
}
