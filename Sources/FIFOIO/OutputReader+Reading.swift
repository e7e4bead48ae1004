internal import CLinux
internal import Glibc

/// When a stream's FIFO is read, and how much of it.
extension OutputReader {
  /// So much is read at a time: all that a FIFO holds.
  private static let piece = 65536

  package func ready(readable: Bool, writable: Bool, hangup: Bool) {
    if !isMuted { return read() }
    // Only a hangup comes then. With bytes before it, it would come again and again; they are for later.
    if unread == 0 { finish(.eof) } else { unwatch() }
  }

  var unread: Int {
    guard let raw = descriptor?.raw else { return 0 }
    return Int(clinux_unread_bytes(raw))
  }

  /// How much may be read before somebody has to take something.
  var room: Int {
    if discards || overflow == .drop && controller == nil { return OutputReader.piece }
    let waiting = Int(bytesRead - max(position, oldest))
    return (controller == nil ? backlog : buffer.limit) - waiting
  }

  /// Reads once, and sees to the next time.
  func read() {
    if pipe != nil { return pump() }
    let room = min(room, OutputReader.piece)
    if room <= 0 { return setReading(false) }
    do throws(SystemError) {
      let count = try readOnce(atMost: room)
      if count == 0 { return finish(.eof) }
      pace(count ?? 0)
      if count != nil { more() }
      if mayHaveMissedEnd, count != nil { expectEnd() }
    } catch {
      // No memory for what is there: the process waits until there is.
      if error.number != EFAULT { return finish(.lost) }
      unwatch()
      visit = Poller.shared.schedule(after: OutputReader.patience, onVisit)
    }
  }

  private static let patience = Duration.milliseconds(500)

  private func readOnce(atMost limit: Int) throws(SystemError) -> Int? {
    try descriptor?.read(into: buffer, atMost: limit)
  }

  private func more() {
    if discards { forgetTaken() }
    controller?.wake()
    for observer in observers { observer.wake() }
    if overflow == .drop, controller == nil, observers.isEmpty {
      buffer.drop(before: bytesRead - min(bytesRead, UInt64(backlog)))
    }
  }

  func pace(_ count: Int) {
    switch pacer.next(after: count, now: clinux_monotonic_ns()) {
    case .whenReady: setReading(true)
    case .after(let nanoseconds):
      unwatch()
      visit = Poller.shared.schedule(after: .nanoseconds(nanoseconds), onVisit)
    }
  }

  func resumeReading() {
    if room > 0 { setReading(true) }
  }

  /// A stream that is not to be read stays with the poller for its end, which is told without interest, too.
  func setReading(_ wanted: Bool) {
    if wanted, visit != nil { return }
    if let visit { Poller.shared.cancel(visit) }
    visit = nil
    guard descriptor != nil, !isHeld else { return unwatch() }
    if registration == nil { watch() }
    if let registration, isMuted == wanted {
      isMuted = !wanted
      Poller.shared.change(registration, readable: wanted, writable: false)
    }
  }

  func unwatch() {
    if let registration { Poller.shared.remove(registration) }
    registration = nil
    isMuted = false
  }

  private func watch() {
    do throws(SystemError) {
      registration = try descriptor?.watch(by: self)
    } catch {
      finish(.lost)
    }
  }
}

extension Descriptor {
  fileprivate borrowing func read(
    into buffer: borrowing StreamBuffer, atMost limit: Int
  ) throws(SystemError) -> Int? {
    try buffer.read(from: self, atMost: limit)
  }

  @Loop
  fileprivate borrowing func watch(by reader: OutputReader) throws(SystemError) -> Poller.Registration {
    try Poller.shared.add(self, readable: true, writable: false, handler: reader)
  }
}
