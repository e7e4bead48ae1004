/// The worker's end of a pipe whose other end a client has, and the poller's eye on it.
@Loop
final class PipeWatch: ReadinessHandler {
  let end: SharedDescriptor
  private let readable: Bool
  private let onReady: @Loop () -> Void
  private let onHangup: @Loop () -> Void
  private var registration: Poller.Registration?

  /// - Parameters:
  ///   - readable: watches for bytes rather than for room.
  ///   - onReady: called while it is watched and has some.
  ///   - onHangup: called when the other end is closed; before bytes that still wait are read.
  init(
    _ end: SharedDescriptor, readable: Bool, onReady: @escaping @Loop () -> Void,
    onHangup: @escaping @Loop () -> Void
  ) {
    self.end = end
    self.readable = readable
    self.onReady = onReady
    self.onHangup = onHangup
  }

  /// Not wanted, an end that is read from is out of the poller, where bytes before a hangup would tell of it again and
  /// again; one that is written to stays for its reader's going.
  func watch(_ wanted: Bool) throws(SystemError) {
    if !wanted, readable { return stop() }
    if let registration {
      Poller.shared.change(registration, readable: readable && wanted, writable: !readable && wanted)
    } else {
      registration = try Poller.shared.add(
        end.descriptor, readable: readable && wanted, writable: !readable && wanted, handler: self)
    }
  }

  /// To be called before it is let go of.
  func stop() {
    if let registration { Poller.shared.remove(registration) }
    registration = nil
  }

  func ready(readable: Bool, writable: Bool, hangup: Bool) {
    if readable || writable { onReady() } else if hangup { onHangup() }
  }
}
