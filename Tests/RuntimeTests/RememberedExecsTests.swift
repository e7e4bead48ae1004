import FIFOIO
import Testing

@testable import Runtime
import TestSupport

/// Execs that have ended and are kept for whoever asks.
@Suite(.serialized)
struct RememberedExecsTests {
  init() { EventLoop.start() }

  @Loop
  private func end(_ exec: String, in container: Container, of runtime: ContainerRuntime) -> ContainerProcess
  {
    let process = ContainerProcess(container: container.id, exec: exec, foreign: nil, host: runtime)
    container.execs[exec] = process
    container.remember(process)
    return process
  }

  @Test func onlyTheLastAreKept() async throws {
    try await withRuntime { runtime, told in
      let container = Container(id: "c", bundle: "/nonexistent", metadata: nil)
      let limit = Container.rememberedExecs
      for number in 0..<limit + 10 { _ = end("e\(number)", in: container, of: runtime) }
      #expect(container.execs.count == limit)
      #expect(container.execs["e9"] == nil && container.execs["e10"] != nil)
    }
  }

  /// As a health check has it.
  @Test func aNameThatIsUsedAgainAndAgainIsKept() async throws {
    try await withRuntime { runtime, told in
      let container = Container(id: "c", bundle: "/nonexistent", metadata: nil)
      _ = end("once", in: container, of: runtime)
      for _ in 0..<2 * Container.rememberedExecs {
        let process = end("probe", in: container, of: runtime)
        #expect(container.execs["probe"] === process)
      }
      #expect(container.execs.count == 2)
    }
  }

  /// Its name may be a running one's meanwhile.
  @Test func whoTakesAnOldNameStays() async throws {
    try await withRuntime { runtime, told in
      let container = Container(id: "c", bundle: "/nonexistent", metadata: nil)
      _ = end("probe", in: container, of: runtime)
      let running = ContainerProcess(container: "c", exec: "probe", foreign: nil, host: runtime)
      container.execs["probe"] = running
      for number in 0..<Container.rememberedExecs { _ = end("e\(number)", in: container, of: runtime) }
      #expect(container.execs["probe"] === running)
    }
  }
}
