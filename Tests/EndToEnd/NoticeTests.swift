import Foundation
import Glibc
import Testing
import TestSupport

/// What a worker tells its service manager.
@Suite(.serialized)
struct NoticeTests {
  @Test(arguments: [false, true])
  func itTellsThatItServesThatItLivesAndThatItStops(abstract: Bool) async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost(abstract: abstract)
    let worker = try host.start(
      containerd: containerd.address, environment: ["WATCHDOG_USEC": "40000"])
    let ready = try await host.notices.next("READY=1")
    #expect(ready.contains("STATUS="))
    for _ in 0..<3 { try await host.notices.next("WATCHDOG=1") }
    worker.process.signal(SIGTERM)
    #expect(try await host.notices.next("STOPPING=1").contains("STATUS="))
    #expect(await worker.process.wait(seconds: 20) == .exited(0))
    host.notices.drain()
    let told = host.notices.received
    #expect(told.count { $0.hasPrefix("READY=1") } == 1)
    #expect(told.count { $0.hasPrefix("STOPPING=1") } == 1)
  }

  @Test func itDoesNotGoBeforeItCouldTellThatItStops() async throws {
    let host = try ServiceHost()
    let worker = try host.start(containerd: try await PrivateContainerd.shared().address)
    try await host.notices.next("READY=1")
    let client = try worker.connect()
    _ = try await client.greeting()
    try host.notices.fill()
    worker.process.signal(SIGTERM)
    try await client.ended()
    try await host.notices.next("STOPPING=1")
    #expect(await worker.process.wait(seconds: 20) == .exited(0))
  }

  @Test func theWatchdogOfSomebodyElseIsNotFed() async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost()
    let worker = try host.start(
      containerd: containerd.address, environment: ["WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"])
    try await host.notices.next("READY=1")
    // Longer than many times what the watchdog would wait.
    let client = try worker.connect()
    try await client.call("run", ["rootfs": JSON(try await RootFilesystem.busybox()), "args": ["true"]])
    #expect(await worker.terminate() == .exited(0))
    host.notices.drain()
    #expect(host.notices.received.contains { $0.hasPrefix("STOPPING=1") })
    #expect(!host.notices.received.contains { $0.contains("WATCHDOG") })
  }

  @Test func itTellsWhetherContainerdIsThereAndNoticesThatFindNoRoomComeLater() async throws {
    let containerd = try await PrivateContainerd.start()
    let host = try ServiceHost()
    // So many that the socket's queue, which holds some only (net.unix.max_dgram_qlen), is soon full.
    let worker = try host.start(containerd: containerd.address, environment: ["WATCHDOG_USEC": "200"])
    // With READY=1 or after it.
    try await host.notices.next("STATUS=containerd is connected; it had tasks: 0")
    let client = try worker.connect()
    _ = try await client.greeting()
    let rootfs = try await RootFilesystem.busybox()
    for _ in 0..<2 { try await client.call("run", ["rootfs": JSON(rootfs), "args": ["true"]]) }
    await containerd.kill()
    _ = try await client.event("containerd.disconnected")
    // Nothing waited for whoever did not read, and nothing is lost.
    try await host.notices.next("STATUS=containerd is away: ")
    client.close()
    #expect(await worker.terminate() == .exited(0))
  }
}
