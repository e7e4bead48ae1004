/// Takes everything and keeps nothing: for output that nobody will ever want, so that the process and its shim are not
/// held up by it.
@Loop
package final class DiscardingSink: OutputSink {
  package static let shared = DiscardingSink()

  package var hasRoom: Bool { true }
  package var isFlushed: Bool { true }

  package func deliver(
    _ chunk: UnsafeRawBufferPointer, from reader: OutputReader, offset: UInt64, final: Bool
  ) -> Int {
    chunk.count
  }

  package func gave(up range: Range<UInt64>, of reader: OutputReader) {}
  package func ended(_ reader: OutputReader) {}
}
