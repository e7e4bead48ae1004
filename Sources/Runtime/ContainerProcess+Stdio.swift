package import FIFOIO
internal import Glibc

/// The ends of its FIFOs that a process has.
extension ContainerProcess {
  /// Opens outputs that are not open; two readers of one FIFO would share its bytes out between them.
  func openOutputs(outlastingWriters: Bool = false) throws(SystemError) {
    do {
      if stdout == nil, !fifos.stdout.isEmpty {
        stdout = try makeReader(fifos.stdout, outlastsWriters: outlastingWriters)
      }
      if stderr == nil, !fifos.stderr.isEmpty {
        stderr = try makeReader(fifos.stderr, outlastsWriters: outlastingWriters)
      }
    } catch {
      stdout?.abandon(.lost)
      throw error
    }
  }

  /// Goes on with the streams of an earlier worker. Throws where there are no descriptors or no memory for them, which is
  /// no reason to give any of them up.
  func resumeStreams() throws(SystemError) {
    do throws(SystemError) {
      stdout = try resume(fifos.stdout) { path, resuming throws(SystemError) in
        try makeReader(path, resuming: resuming)
      }
      stderr = try resume(fifos.stderr) { path, resuming throws(SystemError) in
        try makeReader(path, resuming: resuming)
      }
      if life.exit != nil { return }
      stdin = try resume(fifos.stdin) { path, resuming throws(SystemError) in
        try makeWriter(path, resuming: resuming)
      }
    } catch {
      for (_, reader) in readers { reader.letGo() }
      throw error
    }
  }

  /// What is not there any more is lost; the process is none the less, and goes on with what is still to come.
  private func resume<Value>(
    _ path: String, _ open: (String, Bool) throws(SystemError) -> Value
  ) throws(SystemError) -> Value? {
    if path.isEmpty { return nil }
    do throws(SystemError) {
      return try open(path, true)
    } catch {
      if error.isShortage { throw error }
      // The file of one that was over and read to its end is gone.
      if error.number == ENOENT, life.exit != nil { return nil }
      host.streamIsLost(self, path, error)
      // Anything else is no fault of the file's, with which a later worker may go on.
      if life.exit != nil || ![ENOENT, EINVAL].contains(error.number) { return nil }
    }
    unlink(FIFOSet.store(of: path))
    do throws(SystemError) {
      return try open(path, false)
    } catch {
      host.streamIsLost(self, path, error)
      return nil
    }
  }

  func makeReader(
    _ path: String, resuming: Bool = false, outlastsWriters: Bool = false
  ) throws(SystemError) -> OutputReader {
    let onEnd: @Loop () -> Void = { [weak self] in self?.outputMayHaveEnded() }
    let store = FIFOSet.store(of: path)
    return resuming
      ? try OutputReader(
        resuming: path, store: store, backlog: output.backlog, overflow: output.overflow, onEnd: onEnd)
      : try OutputReader(
        path: path, store: isOwn ? store : nil, backlog: output.backlog, overflow: output.overflow,
        outlastsWriters: outlastsWriters, onEnd: onEnd)
  }

  /// Of another client's process only on demand: while it is held open here, that client's close has no effect.
  func openStdin() throws(SystemError) {
    if stdin != nil || fifos.stdin.isEmpty { return }
    stdin = try makeWriter(fifos.stdin)
    guard life.phase >= .started else { return }
    stdin?.processStarted()
    stdin?.shimIsReady()
  }

  func makeWriter(_ path: String, resuming: Bool = false) throws(SystemError) -> StdinWriter {
    try StdinWriter(
      path: path, store: isOwn ? FIFOSet.store(of: path) : nil, resuming: resuming,
      closeIO: { [weak self] in self?.closeIO() },
      onBreak: { [weak self] in self.map { $0.host.stdinBroke($0) } },
      onCredit: { [weak self] offset in self.map { $0.host.stdinTakes($0, upTo: offset) } })
  }

  func learn(_ fifos: FIFOSet) {
    if fifosAreKnown { return }
    self.fifos = fifos
    fifosAreKnown = true
  }

  package var readers: [(stream: Stream, reader: OutputReader)] {
    [(.stdout, stdout), (.stderr, stderr)].compactMap { stream, reader in reader.map { (stream, $0) } }
  }

  /// What became of each output.
  package var outputs: [StreamSummary] {
    [(Stream.stdout, stdout), (.stderr, stderr)].map { stream, reader in
      let path = stream == .stdout ? fifos.stdout : fifos.stderr
      let end = reader?.end?.rawValue ?? (isOwn && !path.isEmpty ? "lost" : "none")
      return StreamSummary(stream: stream, bytes: reader?.bytesRead ?? 0, end: end)
    }
  }

  private func closeIO() {
    let host = host
    let process = self
    Task { @Loop in await host.closeIO(of: process) }
  }
}
