import ContainerdAPI
import GRPC
import Glibc
import SwiftProtobuf
import TestSupport
import Testing

/// A server that goes away, against a real one.
@Suite(.serialized)
struct ServerLossTests {
  private let metadata = Metadata([("containerd-namespace", "loss")])

  @Test func aUnaryCallEndsWhenTheServerIsKilledInTheMiddle() async throws {
    let containerd = try await PrivateContainerd.start()
    let channel = try Channel(unixSocket: containerd.address)
    _ = try await version(channel)
    // Stopped, it takes the call and does not answer.
    try await containerd.freeze()
    let metadata = metadata
    async let answer = channel.call(
      ContainerdService.Version.version, Empty(), metadata: metadata, timeout: .seconds(60))
    try await until("a call is under way") { channel.liveCalls > 0 }
    await containerd.kill()
    do {
      _ = try await answer
      Issue.record("answered")
    } catch {
      #expect((error as? RPCError)?.code == .unavailable)
    }
    try await close(channel)
  }

  /// Connecting is not given up because a machine under load takes its time: without a word of HTTP/2 for a second.
  @Test func aServerThatIsSlowToGreetIsWaitedFor() async throws {
    let containerd = try await PrivateContainerd.start()
    try await containerd.freeze()
    let channel = try Channel(unixSocket: containerd.address)
    let metadata = metadata
    async let answer = channel.call(
      ContainerdService.Version.version, Empty(), metadata: metadata, timeout: .seconds(60))
    try await Task.sleep(for: .seconds(1))
    containerd.thaw()
    _ = try await answer
    await containerd.kill()
    try await close(channel)
  }

  @Test func aStreamEndsWhenTheServerIsKilled() async throws {
    let containerd = try await PrivateContainerd.start()
    let channel = try Channel(unixSocket: containerd.address)
    let stream = try channel.open(
      ContainerdService.Events.subscribe, CDSubscribeRequest(), metadata: metadata)
    _ = try await version(channel)
    let next = Task { try await stream.next() }
    await containerd.kill()
    await #expect(throws: RPCError.self) { _ = try await next.value }
    // It comes back by itself.
    try await containerd.start()
    _ = try await retried { try await version(channel) }
    await containerd.kill()
    try await close(channel)
  }

  @Test func deadlineAndCancellationEndACall() async throws {
    let containerd = try await PrivateContainerd.start()
    let channel = try Channel(unixSocket: containerd.address)
    _ = try await version(channel)
    try await containerd.freeze()
    let metadata = metadata
    await #expect(throws: RPCError.self) {
      _ = try await channel.call(
        ContainerdService.Version.version, Empty(), metadata: metadata, timeout: .milliseconds(50))
    }
    let task = Task {
      try await channel.call(ContainerdService.Version.version, Empty(), metadata: metadata, timeout: nil)
    }
    try await until("a call is under way") { channel.liveCalls > 0 }
    task.cancel()
    do {
      _ = try await task.value
      Issue.record("answered")
    } catch {
      #expect((error as? RPCError)?.code == .cancelled)
    }
    containerd.thaw()
    try await close(channel)
    await containerd.kill()
  }

  @Test func statusCarriesCodeAndMessage() async throws {
    let containerd = try await PrivateContainerd.start()
    let channel = try Channel(unixSocket: containerd.address)
    var request = CDGetContainerRequest()
    request.id = "nobody"
    do {
      _ = try await channel.call(
        ContainerdService.Containers.get, request, metadata: metadata, timeout: .seconds(10))
      Issue.record("found")
    } catch {
      #expect(error.code == .notFound)
      #expect(error.message.contains("nobody"))
    }
    // An open stream is ended by the end of the channel.
    let stream = try channel.open(
      ContainerdService.Events.subscribe, CDSubscribeRequest(), metadata: metadata)
    let next = Task { try await stream.next() }
    try await until("a call is under way") { channel.liveCalls > 0 }
    await channel.cancelAll()
    await #expect(throws: RPCError.self) { _ = try await next.value }
    await #expect(throws: RPCError.self) { _ = try await version(channel) }
    await containerd.kill()
  }

  @Test func nobodyThere() async throws {
    let channel = try Channel(unixSocket: "/nonexistent/c.sock")
    do {
      _ = try await version(channel)
      Issue.record("answered")
    } catch {
      #expect((error as? RPCError)?.code == .unavailable)
    }
    try await close(channel)
  }

  private func version(_ channel: Channel) async throws -> CDVersionResponse {
    try await channel.call(
      ContainerdService.Version.version, Empty(), metadata: metadata, timeout: .seconds(10))
  }

  /// Until it succeeds: gRPC connects again in its own time.
  private func retried<Value>(_ body: () async throws -> Value) async throws -> Value {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(10)
    while clock.now < end {
      if let value = try? await body() { return value }
      try await clock.sleep(for: .milliseconds(20))
    }
    return try await body()
  }

  /// No call may be left.
  private func close(_ channel: Channel) async throws {
    #expect(channel.liveCalls == 0)
    await channel.cancelAll()
    try await offPool { channel.shutDown() }
    // Who comes too late is told so.
    await #expect(throws: RPCError.self) { _ = try await version(channel) }
  }
}
