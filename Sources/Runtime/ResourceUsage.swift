/// What a task uses of the machine, from cgroup v1 or v2: the same names, in bytes, nanoseconds and counts.
package struct ResourceUsage: Sendable, Equatable {
  package struct CPU: Sendable, Equatable {
    package var usage: UInt64
    package var user: UInt64
    package var system: UInt64
    package var periods: UInt64
    package var throttledPeriods: UInt64
    package var throttled: UInt64
    /// Processors in use on average since the sample before, and how long ago that was in nanoseconds; nil with the
    /// first one.
    package var rate: (cores: Double, interval: UInt64)?

    package static func == (a: CPU, b: CPU) -> Bool {
      a.usage == b.usage && a.user == b.user && a.system == b.system && a.throttled == b.throttled
    }
  }

  package struct Memory: Sendable, Equatable {
    package var usage: UInt64
    /// Nil is none.
    package var limit: UInt64?
    /// Nil where the kernel does not count it.
    package var maximum: UInt64?
    package var anonymous: UInt64
    package var file: UInt64
    package var inactiveFile: UInt64
    /// Swap alone.
    package var swap: UInt64?
    package var swapLimit: UInt64?
    package var pageFaults: UInt64
    package var majorPageFaults: UInt64
    package var outOfMemoryKills: UInt64
  }

  package struct Device: Sendable, Equatable {
    package let major: UInt64
    package let minor: UInt64
    package var readBytes: UInt64 = 0
    package var writtenBytes: UInt64 = 0
    package var reads: UInt64 = 0
    package var writes: UInt64 = 0
  }

  package let time: Timestamp
  /// 1 or 2.
  package let cgroup: Int
  package var cpu: CPU
  package let memory: Memory
  package let processes: UInt64
  /// Nil is none.
  package let processLimit: UInt64?
  package let devices: [Device]
}

/// A total of CPU time at a point in time, both in nanoseconds.
struct CPUSample: Sendable, Equatable {
  let time: UInt64
  let usage: UInt64

  /// Nil where the clock has not moved, or the task is another one.
  func rate(until later: CPUSample) -> (cores: Double, interval: UInt64)? {
    guard later.time > time, later.usage >= usage else { return nil }
    let interval = later.time - time
    return (Double(later.usage - usage) / Double(interval), interval)
  }
}
