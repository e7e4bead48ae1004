import Testing
import TestSupport

/// Terminals: size, control characters, one stream.
@Suite(.serialized)
struct TerminalTests {
  private func createShell(_ bed: TestBed, _ id: String, _ script: String) async throws {
    try await bed.client.call(
      "container.create",
      [
        "container": JSON(id), "rootfs": JSON(bed.rootfs), "terminal": true,
        "args": ["sh", "-c", JSON(script)],
      ])
  }

  private func text(_ bed: TestBed, _ id: String, _ process: String = "init") throws -> String {
    String(decoding: try bed.client.output(id, process), as: UTF8.self)
  }

  @Test func aResizeBeforeTheStartIsHonouredAndALaterOneToo() async throws {
    let bed = try await TestBed.start()
    // Asks again at each change of the size.
    try await createShell(
      bed, "c1", "trap 'stty size' WINCH; echo ready; read x; stty size; while :; do sleep 0.01; done")
    try await bed.client.call("process.resize", ["container": "c1", "columns": 111, "rows": 22])
    try await bed.client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    try await bed.client.call("stdio.write", ["container": "c1", "text": "\n"])
    try await bed.client.text("22 111\r\n", of: "c1")
    try await bed.client.call("process.resize", ["container": "c1", "columns": 77, "rows": 33])
    try await bed.client.text("33 77\r\n", of: "c1")
    try await bed.client.call("process.kill", ["container": "c1", "signal": "KILL"])
    _ = try await bed.client.event("process.closed", container: "c1")
    // Nothing is left to resize, which harms nobody.
    try await bed.client.call("process.resize", ["container": "c1", "columns": 1, "rows": 1])
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func anExecHasASizeOfItsOwn() async throws {
    let bed = try await TestBed.start()
    try await bed.startContainer("c1", ["sleep", "1000"])
    let client = bed.client
    client.post(
      "process.exec",
      [
        "container": "c1", "process": "e1", "args": ["sh", "-c", "read x; stty size"], "terminal": true,
        "stdin": true,
        "attach": [:], "size": ["columns": 50, "rows": 10],
      ])
    // In one go with the start: it waits for it.
    let resized = client.post(
      "process.resize", ["container": "c1", "process": "e1", "columns": 61, "rows": 16])
    client.post("stdio.write", ["container": "c1", "process": "e1", "text": "\n"])
    _ = try await client.result(of: resized)
    _ = try await client.event("process.closed", container: "c1", process: "e1")
    #expect(try text(bed, "c1", "e1").contains("16 61\r\n"))
    #expect(
      try await client.error("process.resize", ["container": "c1", "columns": 5, "rows": 5])["code"]
        == "wrong_state")
    #expect(
      try await client.error(
        "process.resize", ["container": "c1", "process": "e9", "columns": 5, "rows": 5])["code"]
        == "not_found")
    #expect(
      try await client.error("process.resize", ["container": "c1", "columns": 0, "rows": 5])["code"]
        == "invalid_argument")
    try await bed.remove("c1")
    try await bed.finish()
  }

  @Test func controlCharactersDoWhatTheyDoInATerminal() async throws {
    let bed = try await TestBed.start()
    try await createShell(bed, "c1", "trap 'echo interrupted' INT; sleep 1000; cat; echo end >&2")
    try await bed.client.call("task.start", ["container": "c1", "stdin": true, "attach": [:]])
    // ^C reaches the foreground process, here sleep and with it the shell's trap.
    let sleeping = bed.client
    try await bed.untilRunning("c1", "sleep")
    try await sleeping.call("stdio.write", ["container": "c1", "text": "\u{3}"])
    try await sleeping.text("interrupted\r\n", of: "c1")
    try await sleeping.call("stdio.write", ["container": "c1", "text": "line\n"])
    // The terminal's echo, and cat's.
    try await sleeping.text("line\r\nline\r\n", of: "c1")
    try await sleeping.call("stdio.write", ["container": "c1", "text": "\u{4}"])
    let closed = try await sleeping.event("process.closed", container: "c1")
    #expect(closed["exit_code"] == 0)
    #expect(closed["stderr"] == ["bytes": 0, "end": "none"])
    #expect(try text(bed, "c1").hasSuffix("end\r\n"))
    try await bed.remove("c1")
    try await bed.finish()
  }
}
