internal import CGRPC
internal import Synchronization

/// One call of the C core, with the memory that the core writes its answers to.
///
/// The core's part is freed by `free`, at the latest with the last holder: it must be gone before the channel is. What
/// comes after that meets nobody.
final class Call: Sendable {
  /// Where gRPC puts what it receives. It has a stable address until every batch is complete.
  struct Slots {
    var initialMetadata = grpc_metadata_array()
    var trailingMetadata = grpc_metadata_array()
    var status = GRPC_STATUS_UNKNOWN
    var details = grpc_empty_slice()
    var message: UnsafeMutablePointer<grpc_byte_buffer>?
  }

  /// The core's call. It may be cancelled from any thread, and its batches are started by its owner only (grpc.h); nil
  /// once it is freed.
  private let raw: Mutex<Raw?>

  // A pointer that is used within the lock only.
  private struct Raw: @unchecked Sendable {
    let pointer: OpaquePointer
  }

  // Written by gRPC while a batch is in flight, read by the owner after it has completed.
  nonisolated(unsafe) private let slots: UnsafeMutablePointer<Slots>

  init(adopting raw: OpaquePointer) {
    self.raw = Mutex(Raw(pointer: raw))
    slots = .allocate(capacity: 1)
    slots.initialize(to: Slots())
  }

  deinit {
    if let message = slots.pointee.message { grpc_byte_buffer_destroy(message) }
    grpc_metadata_array_destroy(&slots.pointee.initialMetadata)
    grpc_metadata_array_destroy(&slots.pointee.trailingMetadata)
    grpc_slice_unref(slots.pointee.details)
    slots.deinitialize(count: 1)
    slots.deallocate()
    free()
  }

  /// Lets go of the core's call; a batch in flight keeps what it needs.
  func free() {
    raw.withLock { raw in
      if let raw { grpc_call_unref(raw.pointer) }
      raw = nil
    }
  }

  func cancel() {
    raw.withLock { raw in
      if let raw { grpc_call_cancel(raw.pointer, nil) }
    }
  }

  /// Starts a batch and waits until it is complete; false when an operation of it failed or it could not start.
  func perform(_ operations: [Operation], sending: Outgoing? = nil) async -> Bool {
    await withUnsafeContinuation { continuation in
      if !start(operations, sending: sending, batch: Batch(of: self, telling: .continuation(continuation))) {
        continuation.resume(returning: false)
      }
    }
  }

  /// Starts a batch and does not wait for its end.
  func begin(_ operations: [Operation], sending: Outgoing? = nil, telling observer: Batch.Observer = .nobody)
    -> Bool
  {
    start(operations, sending: sending, batch: Batch(of: self, telling: observer))
  }

  /// The message received last, nil where there was none.
  func takeMessage() -> Slice? {
    guard let message = slots.pointee.message else { return nil }
    slots.pointee.message = nil
    defer { grpc_byte_buffer_destroy(message) }
    return Slice(reading: message)
  }

  /// The call's status once `receiveStatus` is complete; nil is OK.
  var failure: RPCError? {
    let status = slots.pointee.status
    if status == GRPC_STATUS_OK { return nil }
    return RPCError(
      RPCError.Code(rawValue: Int(status.rawValue)) ?? .unknown, String(copying: slots.pointee.details))
  }

  enum Operation {
    case sendMetadata, sendMessage, sendClose, receiveMetadata, receiveMessage, receiveStatus
  }

  /// What a call sends. gRPC takes its own references while a batch starts.
  struct Outgoing {
    let metadata: Metadata
    let message: Slice
  }

  private func start(_ operations: [Operation], sending: Outgoing?, batch: Batch) -> Bool {
    let buffer = operations.contains { $0 == .sendMessage } ? sending?.message.makeByteBuffer() : nil
    // The core takes the slices when the batch starts; the buffer stays ours (grpc.h, GRPC_OP_SEND_MESSAGE).
    defer { if let buffer { grpc_byte_buffer_destroy(buffer) } }
    return withUnsafeTemporaryAllocation(of: grpc_op.self, capacity: operations.count) { ops in
      for (index, operation) in operations.enumerated() {
        ops.initializeElement(at: index, to: makeOperation(operation, sending: sending, buffer: buffer))
      }
      let tag = batch.makeTag()
      let started = raw.withLock { raw in
        raw.map { grpc_call_start_batch($0.pointer, ops.baseAddress, ops.count, tag, nil) == GRPC_CALL_OK }
          ?? false
      }
      if started { return true }
      // A batch that does not start never comes back on the queue.
      Unmanaged<Batch>.fromOpaque(tag).release()
      return false
    }
  }

  private func makeOperation(
    _ operation: Operation, sending: Outgoing?, buffer: UnsafeMutablePointer<grpc_byte_buffer>?
  ) -> grpc_op {
    var op = grpc_op()
    switch operation {
    case .sendMetadata:
      op.op = GRPC_OP_SEND_INITIAL_METADATA
      op.data.send_initial_metadata.count = sending?.metadata.count ?? 0
      op.data.send_initial_metadata.metadata = sending?.metadata.pointer
    case .sendMessage:
      op.op = GRPC_OP_SEND_MESSAGE
      op.data.send_message.send_message = buffer
    case .sendClose:
      op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT
    case .receiveMetadata:
      op.op = GRPC_OP_RECV_INITIAL_METADATA
      op.data.recv_initial_metadata.recv_initial_metadata = slotAddress(\.initialMetadata)
    case .receiveMessage:
      op.op = GRPC_OP_RECV_MESSAGE
      op.data.recv_message.recv_message = slotAddress(\.message)
    case .receiveStatus:
      op.op = GRPC_OP_RECV_STATUS_ON_CLIENT
      op.data.recv_status_on_client.trailing_metadata = slotAddress(\.trailingMetadata)
      op.data.recv_status_on_client.status = slotAddress(\.status)
      op.data.recv_status_on_client.status_details = slotAddress(\.details)
    }
    return op
  }

  private func slotAddress<Value>(_ field: WritableKeyPath<Slots, Value>) -> UnsafeMutablePointer<Value>? {
    guard let offset = MemoryLayout<Slots>.offset(of: field) else { return nil }
    return (UnsafeMutableRawPointer(slots) + offset).assumingMemoryBound(to: Value.self)
  }
}
