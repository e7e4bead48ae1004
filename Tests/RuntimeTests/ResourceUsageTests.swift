import ContainerdAPI
import SwiftProtobuf
import Testing

@testable import Runtime

/// What needs another host than the tests have: cgroup v2, and options whose effect is systemd's.
struct ResourceUsageTests {
  @Test func cgroupTwoIsToldByTheSameNames() throws {
    let metrics = CGroup2Metrics.with {
      $0.cpu = .with { ($0.usageUsec, $0.userUsec, $0.systemUsec, $0.throttledUsec) = (30, 20, 10, 5) }
      $0.memory = .with { ($0.usage, $0.usageLimit, $0.anon, $0.swapLimit) = (4096, .max, 1024, 8192) }
      $0.memoryEvents = .with { $0.oomKill = 2 }
      $0.pids = .with { ($0.current, $0.limit) = (3, 0) }
      $0.io = .with {
        $0.usage = [
          .with { ($0.major, $0.minor, $0.rbytes, $0.wbytes, $0.rios, $0.wios) = (8, 1, 10, 20, 1, 2) }
        ]
      }
    }
    let metric = try CDMetric.with { $0.data = try Google_Protobuf_Any(containerd: metrics) }
    let usage = try #require(ResourceUsage(metric))
    #expect(usage.cgroup == 2)
    #expect(usage.cpu.usage == 30_000 && usage.cpu.user == 20_000 && usage.cpu.system == 10_000)
    #expect(usage.cpu.throttled == 5_000)
    #expect(usage.memory.usage == 4096 && usage.memory.limit == nil && usage.memory.anonymous == 1024)
    #expect(usage.memory.swapLimit == 8192 && usage.memory.outOfMemoryKills == 2)
    #expect(usage.processes == 3 && usage.processLimit == nil)
    #expect(
      usage.devices == [
        .init(major: 8, minor: 1, readBytes: 10, writtenBytes: 20, reads: 1, writes: 2)
      ])
  }

  @Test func optionsOfAShimComeBackFromContainerdAsTheyWere() throws {
    var runc = RuncOptions()
    (runc.binaryName, runc.root, runc.systemdCgroup, runc.ioUID, runc.ioGID) = ("crun", "/r", true, 7, 8)
    var generic = GenericOptions()
    (generic.typeURL, generic.configPath, generic.configBody) = ("x.Options", "/c", "a = 1")
    for choice in [
      ShimChoice(name: "io.containerd.runc.v2", options: .runc(runc)),
      ShimChoice(name: "io.containerd.other.v1", options: .generic(generic)),
    ] {
      var stored = CDContainer.Runtime()
      stored.name = choice.name
      stored.options = try #require(try choice.encodedOptions())
      #expect(ShimChoice(stored) == choice)
    }
  }
}
