internal import FIFOIO
internal import Journal
internal import Protocol

/// What a client is sent.
extension Connection {
  /// Writes a line that goes before stdio.
  ///
  /// - Parameters:
  ///   - descriptors: go with its first byte.
  ///   - position: how far the journal must be written before.
  func send(
    _ descriptors: [SharedDescriptor] = [], onceWritten position: UInt64 = 0, _ write: (inout [UInt8]) -> Void
  ) {
    if isGone { return }
    outbox.append(descriptors, onceWritten: position > server.journal.written ? position : 0, write)
    if outbox.waiting > Limits.outputBuffer { return cutOff() }
    scheduleFlush()
  }

  /// Writes an event, unless this client wants no events now.
  func send(_ event: StoredEvent, onceWritten position: UInt64) {
    if subscription.takes(event) { send(onceWritten: position) { $0 += event.line } }
  }

  /// The journal is written so far.
  func release(upTo position: UInt64) {
    if outbox.release(upTo: position) { scheduleFlush() }
  }

  /// Returns when the client has little left to read; at once where that is of no use any more.
  func waitUntilTaken() async {
    // Others who waited may have been first.
    while !isGone, !Task.isCancelled, outbox.waiting > Connection.replayAhead { await untilTaken.wait() }
  }

  /// A stream has something for this client.
  func ready(_ sink: StreamSink) {
    if isGone { return }
    outbox.enqueue(sink)
    scheduleFlush()
  }

  func scheduleFlush() {
    if flushScheduled || closed { return }
    flushScheduled = true
    Poller.shared.atEndOfRound(onEndOfRound)
  }

  func flush() {
    while !closed, let (bytes, descriptors) = outbox.next() {
      let count: Int?
      do {
        count = try bytes.withUnsafeBytes { try transmit($0, with: descriptors) }
      } catch {
        return close()
      }
      guard let count else { return watchWritable(true) }
      outbox.wrote(count)
      if outbox.waiting <= Connection.replayAhead { untilTaken.resume() }
    }
    watchWritable(false)
    closeWhenDone()
  }

  private func transmit(
    _ bytes: UnsafeRawBufferPointer, with descriptors: [SharedDescriptor]
  ) throws(SystemError) -> Int? {
    if output != nil { return try output?.write(bytes) }
    return try input?.send(bytes, with: descriptors.map { $0.descriptor.raw })
  }

  private func watchWritable(_ wanted: Bool) {
    if wanted == wantsWritable { return }
    wantsWritable = wanted
    if let outputRegistration {
      Poller.shared.change(outputRegistration, readable: false, writable: wanted)
    } else if let inputRegistration {
      Poller.shared.change(inputRegistration, readable: !inputEnded, writable: wanted)
    }
  }

  /// Ends it, mostly as the client does not read: what it has not begun to read it will not get, but why.
  func cutOff(_ code: ErrorCode = .slowConsumer, lastSequence: UInt64? = nil) {
    if isGone { return }
    cut = true
    outbox.clear()
    outbox.append {
      ServerLine.bye(code, lastSequence: lastSequence ?? server.journal.lastWritten, into: &$0)
    }
    // Not in the middle of an event that is being told to all: what follows from it must come after it.
    Poller.shared.atEndOfRound { [weak self] in self?.letGo() }
    scheduleFlush()
    _ = Poller.shared.schedule(after: Connection.farewell) { [weak self] in self?.close() }
  }
}
