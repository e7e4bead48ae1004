import Foundation
import Testing
import TestSupport

/// Which runtime runs a container, with which options, as which user, and what of it stays on disk.
@Suite(.serialized)
struct RuntimeTests {
  @Test func optionsOfRuncAreInForceAlsoAfterLoading() async throws {
    let bed = try await TestBed.start()
    let runc = try await WrappedRunc.marking()
    let root = try Sandbox.newDirectory("root")
    let create: JSON = [
      "container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"], "user": "1000:1000",
      "runtime": [
        "name": "io.containerd.runc.v2", "options": ["binary_name": JSON(runc.program), "root": JSON(root)],
      ],
    ]
    try await bed.client.call("container.create", create)
    #expect(await bed.worker.terminate() == .exited(0))
    // Another worker knows the container only from containerd.
    let next = try await WorkerProcess.start(
      containerd: bed.containerd.address, stateDirectory: bed.worker.stateDirectory,
      namespace: bed.worker.namespace)
    let client = try next.connect()
    try await client.call("task.start", ["container": "c1"])
    #expect(runc.marks.contains(" create "))
    #expect(FileManager.default.fileExists(atPath: "\(root)/\(bed.worker.namespace)/c1/state.json"))
    try await client.call("container.delete", ["container": "c1", "force": true])
    client.close()
    #expect(await next.terminate() == .exited(0))
  }

  @Test func optionsOfOneShimAreRefusedForAnother() async throws {
    let bed = try await TestBed.start()
    let create: JSON = ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["true"]]
    for (runtime, argument) in [
      (["name": "io.containerd.runsc.v1", "options": ["binary_name": "x"]], "runtime.options.binary_name"),
      (["name": "io.containerd.runc.v2", "options": ["config_path": "/x"]], "runtime.options.config_path"),
      (["options": ["config_path": "/x"]], "runtime.options"),
    ] as [(JSON, JSON)] {
      let error = try await bed.client.error("container.create", create.merging(["runtime": runtime]))
      #expect(error["argument"] == argument)
    }
    // Passed on with its options; that there is no such shim shows at the start.
    try await bed.client.call(
      "container.create",
      create.merging([
        "runtime": [
          "name": "io.containerd.nosuch.v1", "options": ["type_url": "x.Options", "config_body": "a = 1"],
        ]
      ]))
    let error = try await bed.client.error("task.start", ["container": "c1"])
    #expect(error["code"] == "start_failed")
    #expect(error["exit_code"] == 128)
    #expect(error["message"].string?.contains("io.containerd.nosuch.v1") == true)
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// "fork/exec …: no such file or directory" of the shim's, too.
  @Test func aRuncThatIsMissingIsToldAtOnce() async throws {
    let bed = try await TestBed.start()
    try await bed.client.call(
      "container.create",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "args": ["true"],
        "runtime": ["options": ["binary_name": "/nonexistent/runc"]],
      ])
    let error = try await bed.client.error("task.start", ["container": "c1"])
    #expect(error["code"] == "start_failed", "\(error)")
    try await bed.remove("c1")
    try await bed.finish()
  }

  /// containerd#10598, runc#4475: a pipe of root's cannot be opened again by others.
  @Test func anOrdinaryUserCanOpenItsOutputs() async throws {
    let bed = try await TestBed.start()
    let closed = try await bed.client.call(
      "run",
      [
        "container": "c1", "rootfs": JSON(bed.rootfs), "user": "1000:1000",
        "args": ["sh", "-c", "echo out >/dev/stdout && echo err >/dev/stderr"],
      ])
    #expect(closed["exit_code"] == 0)
    #expect(try bed.client.output("c1") == Array("out\n".utf8))
    #expect(try bed.client.output("c1", "init", "stderr") == Array("err\n".utf8))
    try await bed.finish()
  }

  @Test func aUserOfAUserNamespaceCanOpenItsOutputs() async throws {
    let bed = try await TestBed.start()
    let mapping: JSON = [["containerID": 0, "hostID": 100_000, "size": 65536]]
    for user in [0, 1000] {
      let id = "c\(user)"
      let spec: JSON = [
        "ociVersion": "1.0.2", "root": ["path": JSON(bed.rootfs)],
        "process": [
          "args": ["sh", "-c", "echo out >/dev/stdout && cat /proc/self/uid_map"], "cwd": "/",
          "env": ["PATH=/bin"], "user": ["uid": JSON(user), "gid": JSON(user)],
        ],
        "mounts": [
          ["destination": "/proc", "type": "proc", "source": "proc"],
          ["destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]],
        ],
        "linux": [
          "namespaces": [
            ["type": "pid"], ["type": "mount"], ["type": "user"], ["type": "ipc"], ["type": "uts"],
          ],
          "uidMappings": mapping, "gidMappings": mapping,
        ],
      ]
      let closed = try await bed.client.call("run", ["container": JSON(id), "spec": spec])
      #expect(closed["exit_code"] == 0)
      let output = String(decoding: try bed.client.output(id), as: UTF8.self)
      #expect(output.hasPrefix("out\n"))
      #expect(output.contains("100000"))
    }
    try await bed.finish()
  }

  @Test func onlyWhatTheWorkerMadeIsRemoved() async throws {
    let bed = try await TestBed.start()
    let bundle = try #require(
      try await bed.client.call(
        "container.create", ["container": "c1", "rootfs": JSON(bed.rootfs), "args": ["sleep", "1000"]])[
          "bundle"
        ].string)
    try await bed.client.call("task.start", ["container": "c1"])
    let files = FileManager.default
    let streams = ["init-stdout", "init-stderr"]
    #expect(
      try Set(files.contentsOfDirectory(atPath: bundle)) == Set(streams + streams.map { $0 + ".bytes" }))
    try "mine".write(toFile: bundle + "/note", atomically: true, encoding: .utf8)
    try await bed.remove("c1")
    #expect(try files.contentsOfDirectory(atPath: bundle) == ["note"])
    #expect(files.fileExists(atPath: bed.rootfs + "/bin/busybox"))
    try files.removeItem(atPath: bundle)
    try await bed.finish()
  }

  @Test func bundlesCanBeKept() async throws {
    let bed = try await TestBed.start(options: ["--keep-bundles"])
    try await bed.startContainer("c1", ["sleep", "1000"])
    let bundle = "\(bed.worker.stateDirectory)/bundles/c1"
    try await bed.remove("c1")
    #expect(
      try Set(FileManager.default.contentsOfDirectory(atPath: bundle)) == ["init-stdout", "init-stderr"])
    try FileManager.default.removeItem(atPath: bundle)
    try await bed.finish()
  }
}
