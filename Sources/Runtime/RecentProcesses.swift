internal import DequeModule

/// Processes that are over, so that an event of one that comes late (a shim tries again for 15 s: containerd,
/// pkg/shim/publisher.go) is not taken for news of another client's.
struct RecentProcesses {
  private struct Key: Hashable {
    let container: String
    let exec: String?
  }

  private var pids: [Key: UInt32] = [:]
  private var order = Deque<Key>()

  private static let limit = 1024

  mutating func add(_ container: String, exec: String?, pid: UInt32) {
    let key = Key(container: container, exec: exec)
    if pids.updateValue(pid, forKey: key) == nil { order.append(key) }
    if order.count > RecentProcesses.limit, let oldest = order.popFirst() { pids[oldest] = nil }
  }

  /// - Parameter pid: nil where the event does not tell.
  func holds(_ container: String, exec: String?, pid: UInt32?) -> Bool {
    guard let known = pids[Key(container: container, exec: exec)] else { return false }
    return pid == nil || pid == known
  }
}
