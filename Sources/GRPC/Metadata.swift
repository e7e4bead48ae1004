internal import CGRPC

/// Header fields sent with a call. Keys are lower case; illegal values make the call fail, so check them before.
package final class Metadata: Sendable {
  // Filled in `init`, only read afterwards, freed in `deinit`.
  nonisolated(unsafe) private let elements: UnsafeMutableBufferPointer<grpc_metadata>

  package init(_ fields: [(key: String, value: String)]) {
    elements = .allocate(capacity: fields.count)
    for (index, field) in fields.enumerated() {
      var element = grpc_metadata()
      element.key = grpc_slice_from_copied_string(field.key)
      element.value = grpc_slice_from_copied_string(field.value)
      elements.initializeElement(at: index, to: element)
    }
  }

  deinit {
    for element in elements {
      grpc_slice_unref(element.key)
      grpc_slice_unref(element.value)
    }
    elements.deallocate()
  }

  var count: Int { elements.count }
  var pointer: UnsafeMutablePointer<grpc_metadata>? { elements.baseAddress }
}
