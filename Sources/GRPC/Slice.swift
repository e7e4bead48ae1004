internal import CGRPC

/// Bytes in gRPC's own reference counted form, so that a message is encoded into what is sent and decoded from what
/// was received, without a copy between.
///
/// Up to 23 bytes gRPC keeps inside the struct itself; that is why the struct stays in a class and pointers are only
/// lent while a closure runs.
package final class Slice {
  private var raw: grpc_slice

  /// Takes over the caller's reference.
  init(adopting raw: grpc_slice) {
    self.raw = raw
  }

  /// A slice of `count` bytes.
  package init(repeating byte: UInt8, count: Int) {
    raw = grpc_slice_malloc(count)
    withUnsafeMutableBytes { bytes in
      if let start = bytes.baseAddress {
        start.initializeMemory(as: UInt8.self, repeating: byte, count: count)
      }
    }
  }

  package convenience init(_ bytes: some Sequence<UInt8>) {
    let array = Array(bytes)
    self.init(repeating: 0, count: array.count)
    withUnsafeMutableBytes { $0.copyBytes(from: array) }
  }

  deinit {
    grpc_slice_unref(raw)
  }

  package var count: Int { cgrpc_slice_length(&raw) }

  package func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withUnsafePointer(to: &raw) { slice in
      try body(UnsafeRawBufferPointer(start: cgrpc_slice_start(slice), count: cgrpc_slice_length(slice)))
    }
  }

  package func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
    try withUnsafeBytes { try body(UnsafeMutableRawBufferPointer(mutating: $0)) }
  }

  /// A byte buffer to send, which holds a reference of its own.
  func makeByteBuffer() -> UnsafeMutablePointer<grpc_byte_buffer>? {
    grpc_raw_byte_buffer_create(&raw, 1)
  }

  /// The bytes of a received buffer, joined only where they came in more than one piece. Nil for one that cannot
  /// be read (compressed in a way that gRPC does not know).
  convenience init?(reading buffer: UnsafeMutablePointer<grpc_byte_buffer>) {
    var reader = grpc_byte_buffer_reader()
    guard grpc_byte_buffer_reader_init(&reader, buffer) == 1 else { return nil }
    defer { grpc_byte_buffer_reader_destroy(&reader) }
    var first = grpc_slice()
    guard grpc_byte_buffer_reader_next(&reader, &first) == 1 else {
      self.init(adopting: grpc_empty_slice())
      return
    }
    if cgrpc_slice_length(&first) == grpc_byte_buffer_length(buffer) {
      self.init(adopting: first)
      return
    }
    grpc_slice_unref(first)
    var whole = grpc_byte_buffer_reader()
    guard grpc_byte_buffer_reader_init(&whole, buffer) == 1 else { return nil }
    defer { grpc_byte_buffer_reader_destroy(&whole) }
    self.init(adopting: grpc_byte_buffer_reader_readall(&whole))
  }
}

extension String {
  /// What a slice of gRPC says, which stays the caller's.
  init(copying slice: grpc_slice) {
    var slice = slice
    self = withUnsafePointer(to: &slice) { pointer in
      String(
        decoding: UnsafeBufferPointer(start: cgrpc_slice_start(pointer), count: cgrpc_slice_length(pointer)),
        as: UTF8.self)
    }
  }
}
