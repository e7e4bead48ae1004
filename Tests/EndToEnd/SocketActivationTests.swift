import Foundation
import Glibc
import TestSupport
import Testing

/// Listening sockets that a service manager hands over.
@Suite(.serialized)
struct SocketActivationTests {
  @Test func nobodyIsRefusedWhileOneWorkerFollowsTheOther() async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost()
    // Before there is any worker.
    let early = try host.connect()
    let first = try host.start(containerd: containerd.address)
    try await host.notices.next("READY=1")
    _ = try await early.greeting()
    let run = early.post(
      "run",
      ["container": "c1", "rootfs": JSON(try await RootFilesystem.busybox()), "args": ["sleep", "1000"]])
    _ = try await early.event("task.started", container: "c1")
    first.process.signal(SIGTERM)
    _ = try await early.event("worker.draining")
    let whileDraining = try first.connect()
    try await early.call("process.kill", ["container": "c1", "signal": "KILL"])
    #expect(try await early.result(of: run)["exit_code"] == 137)
    #expect(await first.process.wait(seconds: 20) == .exited(0))
    let whileNone = try first.connect()
    let command = whileNone.post("version")
    let second = try host.start(containerd: containerd.address)
    for client in [whileDraining, whileNone] {
      _ = try await client.greeting()
      try await client.call("ping")
      // It never was the first one's.
      #expect(!client.history().contains { $0["event"] == "worker.draining" })
    }
    _ = try await whileNone.result(of: command)
    #expect(await second.terminate() == .exited(0))
  }

  @Test func clientsThatNeverCeaseToConnectAreAllGreeted() async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost()
    let greeted = Counter()
    let workers = 6
    async let clients: Void = {
      // One after another, on and on until the last worker has greeted as many as the others.
      while greeted.next() < workers * 30 {
        let client = try host.connect()
        _ = try await client.greeting()
        client.close()
      }
    }()
    for _ in 1..<workers {
      let worker = try host.start(containerd: containerd.address)
      try await host.notices.next("READY=1")
      #expect(await worker.terminate() == .exited(0))
    }
    let last = try host.start(containerd: containerd.address)
    try await clients
    #expect(await last.terminate() == .exited(0))
  }

  @Test func aSocketThatIsHandedOverIsLeftAsItIs() async throws {
    let containerd = try await PrivateContainerd.shared()
    let host = try ServiceHost(mode: 0o666)
    chmod(Sandbox.directory, 0o711)
    chmod((host.socket as NSString).deletingLastPathComponent, 0o711)
    let before = try FileManager.default.attributesOfItem(atPath: host.socket)[.systemFileNumber] as? Int
    let worker = try host.start(containerd: containerd.address, options: ["--allow-uid", "65534"])
    try await host.notices.next("READY=1")
    // O_CLOEXEC and O_NONBLOCK, as proc(5) shows them.
    let info = try String(contentsOfFile: "/proc/\(worker.process.pid)/fdinfo/3", encoding: .utf8)
    #expect(info.contains("flags:\t02004002\n"), "\(info)")
    // Who may connect is looked at as ever.
    for (uid, answer) in [(65534, #"{"hello""#), (1, #"{"error":{"code":"permission_denied""#)] {
      let asked = try await ChildProcess.run(
        "/usr/bin/setpriv",
        [
          "--reuid", "\(uid)", "--regid", "\(uid)", "--clear-groups", "socat", "-",
          "UNIX-CONNECT:\(host.socket)",
        ])
      #expect(asked.output.contains(answer), "\(uid): \(asked.output)")
    }
    #expect(await worker.terminate() == .exited(0))
    let after = try FileManager.default.attributesOfItem(atPath: host.socket)[.systemFileNumber] as? Int
    #expect(before == after)
  }

  @Test func whatCannotBeListenedOnIsRefused() async throws {
    let directory = try Sandbox.newDirectory("x")
    let good = try UnixSocket.listen("\(directory)/good")
    let bound = try UnixSocket.bind("\(directory)/bound", SOCK_STREAM)
    let datagrams = try UnixSocket.bind("\(directory)/datagrams", SOCK_DGRAM)
    let network = Descriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    #expect(listen(network.rawValue, 1) == 0)
    let pipe = try Pipe.make()
    let cases: [(handing: [Descriptor], environment: [String: String], says: String)] = [
      ([pipe.read], [:], "descriptor 3"), ([bound], [:], "not a Unix stream socket that listens"),
      ([datagrams], [:], "not a Unix stream socket that listens"),
      ([network], [:], "not a Unix stream socket that listens"),
      ([], ["LISTEN_FDS": "1"], "descriptor 3"), ([good], ["LISTEN_FDS": "many"], "LISTEN_FDS=many"),
      ([good], ["LISTEN_FDS": "0"], "LISTEN_FDS=0"), ([good], ["LISTEN_PID": "me"], "LISTEN_PID=me"),
      ([good, good], [:], "exactly one of them worker"),
      ([good, good], ["LISTEN_FDNAMES": "worker:worker"], "exactly one of them worker"),
      ([good, good], ["LISTEN_FDNAMES": "worker"], "exactly one of them worker"),
      ([good], ["LISTEN_FDS": "2", "LISTEN_FDNAMES": "worker:other"], "descriptor 4"),
      ([good], ["WATCHDOG_USEC": "soon"], "WATCHDOG_USEC=soon"),
      ([good], ["NOTIFY_SOCKET": "vsock:2:1"], "NOTIFY_SOCKET"),
    ]
    for (number, (handing, environment, says)) in cases.enumerated() {
      let output = try Pipe.make()
      let process = try ServiceHost.spawn(
        ["--containerd-address", "/x", "--listen", "\(directory)/w", "--state-dir", "\(directory)/state"],
        environment: environment, error: output.write, handing: handing)
      output.write.close()
      #expect(await process.wait(seconds: 20) == .exited(1), "case \(number)")
      let log = String(
        decoding: FileHandle(fileDescriptor: output.read.rawValue, closeOnDealloc: false)
          .readDataToEndOfFile(), as: UTF8.self)
      #expect(log.contains(says), "case \(number): \(log)")
    }
  }

  @Test func theOneThatIsNamedIsListenedOnAndNoneThatIsSomebodyElses() async throws {
    let containerd = try await PrivateContainerd.shared()
    let directory = try Sandbox.newDirectory("x")
    let sockets = try ["a", "b"].map { try UnixSocket.listen("\(directory)/\($0)") }
    let notices = try NoticeSocket("\(directory)/notices")
    let cases: [(more: [String: String], path: String)] = [
      (["LISTEN_FDNAMES": "other:worker"], "b"), (["LISTEN_PID": "1"], "own"),
    ]
    for (more, path) in cases {
      let process = try ServiceHost.spawn(
        [
          "--containerd-address", containerd.address, "--listen", "\(directory)/own", "--state-dir",
          "\(directory)/state", "--namespace", Sandbox.newNamespace(),
        ], environment: more.merging(["NOTIFY_SOCKET": notices.address]) { $1 }, handing: sockets)
      try await notices.next("READY=1")
      let client = try LineClient(#require(try UnixSocket.connect("\(directory)/\(path)")))
      _ = try await client.greeting()
      client.close()
      #expect(await process.terminate() == .exited(0))
    }
  }
}
