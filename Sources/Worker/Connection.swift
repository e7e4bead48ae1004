internal import CLinux
internal import FIFOIO
internal import Glibc
internal import Journal
internal import Protocol
internal import Runtime

/// One client: its lines in, its lines out. What waits for it is bounded: a client that does not read is cut.
@Loop
final class Connection: ReadinessHandler {
  // It lives as long as the loop.
  unowned let server: Server
  var input: Descriptor?
  var output: Descriptor?
  var inputRegistration: Poller.Registration?
  var outputRegistration: Poller.Registration?
  private var framer = LineFramer()

  let outbox = Outbox()
  var flushScheduled = false
  var wantsWritable = false

  private var inflight: [ObjectIdentifier: Ticket] = [:]
  /// How many of them are in the queue; those out of band do not count against the limit.
  private var queued = 0
  let attachments = Attachments()
  var inputEnded = false
  var cut = false
  private(set) var closed = false
  /// Which lifecycle events it gets.
  var subscription = Subscription()
  let untilTaken = Waiters()
  /// Nothing reaches the client any more.
  var isGone: Bool { closed || cut }
  private(set) var features: [Feature] = []

  /// How long a client that is cut may take to read why.
  static let farewell = Duration.seconds(2)

  // Made once, as it is used for every chunk of output.
  lazy var onEndOfRound: @Loop () -> Void = { [weak self] in
    self?.flushScheduled = false
    self?.flush()
  }

  /// - Parameter output: where lines go when that is not where they come from.
  init(server: Server, input: consuming Descriptor, output: consuming Descriptor? = nil) {
    self.server = server
    self.input = consume input
    self.output = consume output
  }

  func open(greeting: [UInt8]) {
    do throws(SystemError) {
      inputRegistration = try input?.watch(readable: true, handler: self)
      outputRegistration = try output?.watch(readable: false, handler: OutputWatch(self))
    } catch {
      return close()
    }
    // It names the last event: the place from which its client has all.
    send(onceWritten: server.journal.appendedWithLast) { $0 += greeting }
    if inputRegistration == nil { readAlways() }
  }

  var inflightCount: Int { queued }
  /// No command waits for its reply, none out of band either.
  var isIdle: Bool { inflight.isEmpty }
  var waitingBytes: Int { outbox.waiting }
  var isCongested: Bool { outbox.isCongested }

  /// - Returns: the features in force.
  func accept(_ features: [Feature]) -> [Feature] {
    self.features = server.features.filter(features.contains)
    return self.features
  }

  // MARK: - In

  func ready(readable: Bool, writable: Bool, hangup: Bool) {
    if writable { flush() }
    // A pipe at its end is a hangup without anything to read.
    if readable || hangup && !inputEnded { return read() }
    // A socket's hangup is that of both directions: nobody is there to reply to.
    if hangup { close() }
  }

  /// What happens to an output that is not the input's socket.
  func outputReady(writable: Bool, hangup: Bool) {
    if hangup { return close() }
    if writable { flush() }
  }

  private func readAlways() {
    if closed || inputEnded { return }
    read()
    _ = Poller.shared.schedule(after: .zero) { [weak self] in self?.readAlways() }
  }

  private static let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 64)

  private func read() {
    let count: Int?
    do throws(SystemError) {
      count = try input?.read(into: Connection.scratch)
    } catch {
      return close()
    }
    guard let count else { return }
    if count == 0 { return endInput() }
    framer.feed(UnsafeRawBufferPointer(rebasing: Connection.scratch.prefix(count))) { handle($0) }
  }

  private func endInput() {
    if inputEnded { return }
    inputEnded = true
    if let inputRegistration {
      if output == nil {
        Poller.shared.change(inputRegistration, readable: false, writable: wantsWritable)
      } else {
        Poller.shared.remove(inputRegistration)
        self.inputRegistration = nil
      }
    }
    if let line = framer.end() {
      refuse(ProtocolError(.truncatedLine, "the last line has no LF and is not executed"), line: line)
    }
    closeWhenDone()
  }

  private func handle(_ line: LineFramer.Line) {
    if cut || closed { return }
    switch line {
    case .tooLong(let number):
      refuse(ProtocolError(.lineTooLong, "a line has at most \(Limits.line) bytes"), line: number)
    case .line(let bytes, let number):
      do throws(Request.Refusal) {
        try handle(Request(line: bytes), line: number)
      } catch {
        refuse(error.error, id: error.id, line: number)
      }
    }
  }

  private func handle(_ request: Request, line: Int) {
    let command: any HandledCommand
    do throws(ProtocolError) {
      guard let parsed = try Commands.parse(request) as? any HandledCommand else {
        throw ProtocolError(.internalError, "\(request.command) has no handler")
      }
      command = parsed
    } catch {
      return refuse(error, id: request.id, line: line)
    }
    if command.route != .outOfBand {
      if server.isStopping {
        return refuse(ProtocolError(.shuttingDown, "the worker stops"), id: request.id, line: line)
      }
      if queued >= Limits.inflight {
        return refuse(
          ProtocolError(.busy, "\(Limits.inflight) commands are in flight"), id: request.id, line: line)
      }
    }
    let ticket = Ticket(request, line: line, command: command, connection: self)
    inflight[ObjectIdentifier(ticket)] = ticket
    if command.route != .outOfBand { queued += 1 }
    admit(ticket)
  }

  private func admit(_ ticket: Ticket) {
    let command = ticket.command
    guard let key = ticket.request.key, command.takesKey else {
      return server.queue.admit(ticket) { context async throws(ProtocolError) in
        try await command.run(context)
      }
    }
    if command.handsOver {
      return ticket.refuse(
        ProtocolError(.invalidArgument, "what hands over descriptors takes no key", argument: "key"))
    }
    let journal = server.journal
    switch server.keys.admit(ticket, key: key) {
    case .answered: return
    case .refused(let error): return ticket.refuse(error)
    case .run:
      ticket.keys = server.keys
      server.queue.admit(ticket) { context async throws(ProtocolError) in
        // Another worker must know that it was begun.
        await journal.flush()
        return try await command.run(context)
      }
    case .resolve(let past):
      ticket.keys = server.keys
      server.queue.admit(ticket) { context async throws(ProtocolError) in
        try await command.settle(past, context)
      }
    }
  }

  private func refuse(_ error: ProtocolError, id: Request.ID? = nil, line: Int) {
    send { ServerLine.error(error, ServerLine.Reply(id: id, line: line), into: &$0) }
  }

  /// The oldest command in flight with an id, but for the one that asks.
  func ticket(_ id: Request.ID, besides own: Ticket) -> Ticket? {
    inflight.values.filter { $0.request.id == id && $0 !== own }.min { $0.line < $1.line }
  }

  func replied(_ ticket: Ticket) {
    guard inflight.removeValue(forKey: ObjectIdentifier(ticket)) != nil else { return }
    if ticket.command.route != .outOfBand { queued -= 1 }
    closeWhenDone()
  }

  // MARK: - End

  func closeWhenDone() {
    guard inputEnded || cut, inflight.isEmpty, outbox.isEmpty, cut || subscription.replayed == nil else {
      return
    }
    close()
  }

  /// Stops every command in flight: the worker ends.
  func stopAll() {
    for ticket in inflight.values { _ = ticket.stop(.shuttingDown) }
  }

  /// Closes once all replies and events are written, and takes nothing more: the worker ends.
  func finish() {
    letGo()
    endInput()
    scheduleFlush()
  }

  func close() {
    if closed { return }
    closed = true
    if let inputRegistration { Poller.shared.remove(inputRegistration) }
    if let outputRegistration { Poller.shared.remove(outputRegistration) }
    inputRegistration = nil
    outputRegistration = nil
    input = nil
    output = nil
    outbox.clear()
    untilTaken.resume()
    letGo()
    server.closed(self)
  }

  func letGo() {
    for process in attachments.letGo() {
      process.discardUnread()
      server.kill(process)
    }
  }
}
