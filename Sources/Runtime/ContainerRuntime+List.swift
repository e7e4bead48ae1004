internal import ContainerdAPI
internal import SwiftProtobuf

/// What containerd knows of containers.
extension ContainerRuntime {
  /// - Parameter filters: containerd's; one that holds is enough, and none are for all.
  package func list(_ filters: [String]) async throws(RuntimeError) -> [ContainerSummary] {
    var found: [ContainerSummary] = []
    try await forEachContainer(filters) { found.append(ContainerSummary($0, withSpec: false)) }
    return found.filter { !isPlaceholder($0) }
  }

  package func metadata(_ id: String) async throws(RuntimeError) -> ContainerSummary {
    var request = CDGetContainerRequest()
    request.id = id
    return ContainerSummary(try await containerd.call(ContainerdService.Containers.get, request).container)
  }

  /// One by one: in one message, some thousands would be more than containerd sends.
  func forEachContainer(_ filters: [String], _ body: (CDContainer) -> Void) async throws(RuntimeError) {
    var request = CDListContainersRequest()
    request.filters = filters
    let stream = try containerd.open(
      ContainerdService.Containers.listStream, request, timeout: Containerd.timeout)
    do {
      while let message = try await stream.next() { body(message.container) }
    } catch {
      throw StatusMapping.error(for: error)
    }
  }

  func metadata(of found: CDContainer) -> ContainerMetadata {
    let spec = Array(found.spec.value)
    return ContainerMetadata(spec: spec, facts: readSpec(spec), shim: ShimChoice(found.runtime))
  }
}

extension ContainerSummary {
  init(_ container: CDContainer, withSpec: Bool = true) {
    id = container.id
    labels = container.labels
    image = container.image
    runtime = container.runtime.name
    createdAt = container.hasCreatedAt ? Timestamp(container.createdAt) : nil
    spec = withSpec ? Array(container.spec.value) : []
  }
}
