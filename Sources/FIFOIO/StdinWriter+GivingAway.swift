/// A stdin that a client writes to itself, or through a pipe of its own.
extension StdinWriter {
  /// Returns once it is open and everything that was accepted is written.
  package func untilWritten() async throws(StdinMachine.Refusal) {
    if pipe != nil { throw .handedOver }
    while try !machine.canHandOver() { try await change() }
  }

  /// Gives the FIFO's own end away, which is to be open and everything written. EOF is then whoever gets it to close it and
  /// `close` to be called.
  package func handOver() throws(StdinMachine.Refusal) -> SharedDescriptor {
    if pipe != nil { throw .handedOver }
    guard try machine.canHandOver(), let taken = descriptor.take() else { throw .broken }
    machine.handOver()
    if let registration { Poller.shared.remove(registration) }
    registration = nil
    return SharedDescriptor(taken)
  }

  /// Makes a pipe from which everything goes on to the process, and gives its writing end away. Its end is a close.
  package func openPipe() throws -> SharedDescriptor {
    if pipe != nil { throw StdinMachine.Refusal.handedOver }
    try machine.checkTakes()
    let (worker, other) = try Descriptor.pipe(workerReads: true)
    pipe = PipeWatch(
      worker, readable: true, onReady: { [weak self] in self?.pump() },
      onHangup: { [weak self] in self?.pump() })
    pump()
    return other
  }

  func pump() {
    guard let pipe, machine.phase == .open, machine.pending == 0 else { return }
    do throws(SystemError) {
      switch try splice(from: pipe) {
      case .moved(let count):
        machine.relayed(count)
        buffer.skip(count)
        try pipe.watch(true)
      case .sourceIsEmpty where closesWithPipe:
        closePipe()
        perform(machine.close())
      case .sourceIsEmpty:
        watch(false)
        try pipe.watch(true)
      case .targetIsFull:
        try pipe.watch(false)
        watch(true)
      case .end, nil:
        closePipe()
        perform(machine.close())
      }
    } catch {
      breakOff()
    }
  }

  private func splice(from pipe: PipeWatch) throws(SystemError) -> Spliced? {
    try descriptor?.splice(from: pipe.end.descriptor, atMost: 1 << 20)
  }

  func closePipe() {
    pipe?.stop()
    pipe = nil
  }
}
