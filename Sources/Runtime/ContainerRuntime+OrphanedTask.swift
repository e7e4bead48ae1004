internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

/// Tasks whose container is gone: of a start that was cut short, and that containerd shows again once it was started anew.
///
/// containerd looks a task's runtime up in its container, so there has to be one while the task is removed: a placeholder,
/// which counts as none everywhere else, and goes also when containerd or the worker is killed meanwhile.
extension ContainerRuntime {
  /// 1 on a placeholder.
  static let placeholderLabel = "containerd-worker/placeholder"

  /// Whether a task is ours, and has no container.
  func isOrphan(_ found: CDProcess, _ id: String) -> Bool {
    found.stdout.hasPrefix(bundles + "/" + id + "/") && containers[id] == nil && !creating.contains(id)
  }

  /// Removes it, or what an earlier attempt has left of doing so.
  func removeOrphanedTask(_ id: String) async {
    await insist("remove the task of", id) { () async throws(RuntimeError) in
      try await self.removing(id) { () async throws(RuntimeError) in
        if self.isNew(id) { return }
        try await self.removeWithPlaceholder(id)
      }
    }
  }

  private func removeWithPlaceholder(_ id: String) async throws(RuntimeError) {
    creating.insert(id)
    defer { creating.remove(id) }
    if let there = try await container(id) {
      // Somebody else's has the same name.
      guard isPlaceholder(there) else { return }
    } else {
      // A list that was asked for earlier may have shown it while it was being deleted with its container.
      guard try await listTasks().contains(where: { $0.container == id }) else { return }
      try await createPlaceholder(id)
    }
    let leftover = await removeFailed(id, exec: nil)
    var deletion = CDDeleteContainerRequest()
    deletion.id = id
    _ = try await containerd.callToTheEnd(ContainerdService.Containers.delete, deletion)
    if let leftover { throw leftover }
    log.notice("removed a task whose container is gone", metadata: ["container": "\(id)"])
  }

  private func container(_ id: String) async throws(RuntimeError) -> ContainerSummary? {
    do throws(RuntimeError) {
      return try await metadata(id)
    } catch {
      if error.kind == .notFound { return nil }
      throw error
    }
  }

  private func createPlaceholder(_ id: String) async throws(RuntimeError) {
    var creation = CDCreateContainerRequest()
    creation.container.id = id
    creation.container.labels[ContainerRuntime.placeholderLabel] = "1"
    // Any shim's name and spec do: the shim that runs is asked.
    creation.container.spec = Google_Protobuf_Any(json: Array("{}".utf8), typeURL: TypeURL.spec)
    creation.container.runtime.name = "io.containerd.runc.v2"
    _ = try await containerd.callToTheEnd(ContainerdService.Containers.create, creation)
  }

  func isPlaceholder(_ container: ContainerSummary) -> Bool {
    container.labels[ContainerRuntime.placeholderLabel] != nil
  }
}
