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

  /// Remembers the pid, where it belongs to one that had none.
  ///
  /// - Parameter pid: nil where the event does not tell.
  mutating func holds(_ container: String, exec: String?, pid: UInt32?) -> Bool {
    let key = Key(container: container, exec: exec)
    guard let known = pids[key] else { return false }
    guard let pid, pid != known else { return true }
    // An exec whose start was cut short, which has no pid here before that.
    guard exec != nil, known == 0 else { return false }
    pids[key] = pid
    return true
  }

  /// Whether such a pid is known to be that of one that is over.
  func hasEnded(_ container: String, exec: String?, pid: UInt32) -> Bool {
    pid != 0 && pids[Key(container: container, exec: exec)] == pid
  }
}
