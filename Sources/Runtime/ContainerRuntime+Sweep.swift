internal import FIFOIO
internal import Glibc
internal import Journal
internal import Logging

/// Containers that are gone, of which an earlier worker was cut short in telling and in clearing away.
extension ContainerRuntime {
  /// Once, after the first word of containerd.
  func sweep() async {
    if isSwept { return }
    // Before the list: what is made meanwhile is in neither.
    let bundles = FIFOSet.names(in: bundles).filter {
      !keepsBundles && FIFOSet.hasOurs(in: "\(self.bundles)/\($0)")
    }
    let undone = containers.values.filter { $0.hadCutStart && $0.processes.isEmpty }
    if bundles.isEmpty, undone.isEmpty { return isSwept = true }
    do throws(RuntimeError) {
      let listed = Set(try await list([]).map(\.id))
      isSwept = true
      for id in bundles where !listed.contains(id) { clearAway(id) }
      for container in undone where !listed.contains(container.id) && containers[container.id] === container {
        containers[container.id] = nil
        journal?.append(.forgetProcess(container: container.id, exec: ""))
      }
    } catch {
      log.warning("cannot list containers", metadata: ["error": "\(error.message)"])
    }
  }

  /// containerd has no such container: what is left of it here goes, and that is told.
  package func clearAway(_ id: String) {
    let known = containers[id]
    // One that is being started anew, or has not been compared yet, is seen to by that.
    if let known, !known.processes.isEmpty { return }
    guard known != nil || access(bundles + "/" + id, F_OK) == 0 else { return }
    forget(known ?? Container(id: id, bundle: bundles + "/" + id, metadata: nil))
  }
}
