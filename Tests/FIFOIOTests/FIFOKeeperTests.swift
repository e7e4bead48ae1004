import FIFOIO
import Foundation
import Testing
import TestSupport

struct FIFOKeeperTests {
  /// A worker with thousands of containers hands everything over in one go when it takes them from an earlier one.
  @Test func itTakesThousandsAtOnce() async throws {
    let directory = try Sandbox.newDirectory("keeper")
    EventLoop.start()
    let failure = try await handOver(5000, "\(directory)/keeper.sock")
    #expect(failure == nil)
  }

  @Loop
  private func handOver(_ count: Int, _ path: String) async throws -> FIFOIO.SystemError? {
    var failure: FIFOIO.SystemError?
    let keeper = FIFOKeeper(try FIFOKeeper.Link(path)) { failure = $0 }
    let descriptor = FIFOIO.Descriptor(owning: open("/dev/null", O_RDONLY | O_CLOEXEC))
    // Not in the order in which they are kept.
    for number in 0..<count { keeper.hold("\(number * 7919 % count)", descriptor) }
    for number in 0..<count { keeper.drop("\(number)") }
    return failure
  }
}
