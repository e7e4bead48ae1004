/// The bounds that the greeting tells every client.
package enum Limits {
  /// Bytes of a line of a client, without its end.
  package static let line = 1 << 20
  /// Nested objects and arrays in a line.
  package static let depth = 32
  /// Commands of one connection in the queue.
  package static let inflight = 64
  /// Bytes of output in one `stdio.data`.
  package static let chunk = 49152
  /// Bytes of output of one stream that wait for a reader where a start does not say how many.
  package static let window = 262_144
  /// The most that a start may ask for.
  package static let backlog = 16 << 20
  /// The largest offset: what JavaScript and many JSON readers keep exactly.
  package static let offset: Int64 = 1 << 53 - 1
  /// Bytes of stdin of one process that wait for the process to read them.
  package static let stdinBuffer = 1 << 20
  /// Bytes that wait for a client to read them; one more and it is cut.
  package static let outputBuffer = 16 << 20
  /// Bytes of an id that is a string.
  package static let id = 64
  /// Bytes of an idempotency key.
  package static let key = 128
}
