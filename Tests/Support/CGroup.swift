internal import Foundation

/// The cgroups of a process, on hosts of either version.
package enum CGroup {
  /// What a file of the process's cgroup holds.
  package static func value(
    of pid: Int, v1: (controller: String, file: String), v2 file: String
  ) throws -> String {
    let lines = try String(contentsOfFile: "/proc/\(pid)/cgroup", encoding: .utf8).split(separator: "\n")
    for line in lines {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      if fields[1].split(separator: ",").contains(where: { $0 == v1.controller }) {
        return try read("/sys/fs/cgroup/\(v1.controller)\(fields[2])/\(v1.file)")
      }
    }
    guard let unified = lines.first(where: { $0.hasPrefix("0::") }) else {
      throw TestFailure("no cgroup of \(pid): \(lines)")
    }
    return try read("/sys/fs/cgroup\(unified.dropFirst(3))/\(file)")
  }

  private static func read(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
