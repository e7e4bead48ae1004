import Testing
import TestSupport

/// Lists of containers.
@Suite(.serialized)
struct ListTests {
  /// In one message they would be more than containerd sends: 16 MiB.
  @Test func theyMayBeLong() async throws {
    let bed = try await TestBed.start()
    let names = (1...24).map { "c\($0)" }
    let annotations: JSON = ["note": JSON(String(repeating: "x", count: 750_000))]
    for name in names {
      try await bed.client.call(
        "container.create",
        ["container": JSON(name), "rootfs": JSON(bed.rootfs), "args": ["true"], "annotations": annotations])
    }
    let listed = try await bed.client.call("container.list")["containers"].array ?? []
    #expect(Set(listed.compactMap { $0["container"].string }) == Set(names))
    let filtered = try await bed.client.call("container.list", ["filter": "id==c7"])["containers"].array ?? []
    #expect(filtered.map { $0["container"] } == ["c7"])
    let snapshot = try await bed.client.call("events.subscribe")["snapshot"]
    #expect(snapshot["complete"] == true)
    #expect(snapshot["containers"].array?.count == names.count)
    for name in names { try await bed.remove(name) }
    try await bed.finish()
  }
}
