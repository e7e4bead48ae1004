/// Streams that a client reads itself, or has spliced to a pipe of its own.
extension OutputReader {
  /// Gives the FIFO's own end away: whoever gets it reads from `bytesRead` on. Nil when there is none any more.
  package func handOver() -> SharedDescriptor? {
    unwatch()
    guard end == nil, let descriptor = descriptor.take() else { return nil }
    let shared = SharedDescriptor(descriptor)
    finish(.handedOver)
    return shared
  }

  /// Makes a pipe to which everything from `position` on goes, and gives its reading end away.
  ///
  /// - Returns: the end, and the offset of its first byte.
  package func openPipe() throws(SystemError) -> (end: SharedDescriptor, offset: UInt64) {
    let (worker, other) = try Descriptor.pipe(workerReads: false)
    position = max(position, oldest)
    let offset = position
    let watch = PipeWatch(
      worker, readable: false, onReady: { [weak self] in self?.pump() },
      onHangup: { [weak self] in self?.closePipe() })
    // Without interest, too, epoll tells of a reader that has gone.
    try watch.watch(false)
    pipe = watch
    pump()
    return (other, offset)
  }

  /// Fills the pipe, first with what is kept, then from the FIFO.
  func pump() {
    guard let pipe else { return }
    do throws(SystemError) {
      while position < bytesRead {
        let kept = buffer.bytes(from: position, atMost: .max)
        if kept.isEmpty { break }
        guard let count = try pipe.end.descriptor.write(kept) else { return try waitForPipe(pipe) }
        position += UInt64(count)
      }
      if end != nil { return endPipe() }
      try pipe.watch(false)
      switch try splice(to: pipe) {
      case nil: break
      case .moved(let count):
        buffer.skip(count)
        buffer.trim()
        givenAway = bytesRead
        pace(count)
      case .end: finish(.eof)
      case .sourceIsEmpty: pace(0)
      case .targetIsFull: try waitForPipe(pipe)
      }
    } catch {
      // EPIPE: nobody reads the pipe. What was in it is gone; the rest waits for somebody else.
      closePipe()
    }
  }

  private func splice(to pipe: PipeWatch) throws(SystemError) -> Spliced? {
    try descriptor?.splice(to: pipe.end.descriptor, atMost: 1 << 20)
  }

  private func waitForPipe(_ pipe: PipeWatch) throws(SystemError) {
    setReading(false)
    try pipe.watch(true)
  }

  func endPipe() {
    endTaken = true
    closePipe()
  }

  private func closePipe() {
    pipe?.stop()
    pipe = nil
    resumeReading()
    onEnd()
  }
}
