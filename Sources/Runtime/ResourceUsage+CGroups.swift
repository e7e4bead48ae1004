internal import ContainerdAPI

extension ResourceUsage {
  /// Nil for metrics that are of neither version.
  init?(_ metric: CDMetric) {
    let time = Timestamp(metric.timestamp)
    if let metrics = metric.data.decode(CGroup1Metrics.self) {
      self.init(metrics, time)
    } else if let metrics = metric.data.decode(CGroup2Metrics.self) {
      self.init(metrics, time)
    } else {
      return nil
    }
  }

  private init(_ metrics: CGroup1Metrics, _ time: Timestamp) {
    self.time = time
    cgroup = 1
    cpu = CPU(
      usage: metrics.cpu.usage.total, user: metrics.cpu.usage.user, system: metrics.cpu.usage.kernel,
      periods: metrics.cpu.throttling.periods, throttledPeriods: metrics.cpu.throttling.throttledPeriods,
      throttled: metrics.cpu.throttling.throttledTime)
    let (memory, both) = (metrics.memory.usage, metrics.memory.swap)
    // Swap is counted only together with memory, where the kernel counts it at all.
    let hasSwap = metrics.memory.hasSwap && both.limit > 0
    self.memory = Memory(
      usage: memory.usage, limit: ResourceUsage.limit(memory.limit), maximum: memory.max,
      anonymous: metrics.memory.totalRss, file: metrics.memory.totalCache,
      inactiveFile: metrics.memory.totalInactiveFile,
      swap: hasSwap ? both.usage - min(both.usage, memory.usage) : nil,
      swapLimit: hasSwap ? ResourceUsage.limit(both.limit).map { $0 - min($0, memory.limit) } : nil,
      pageFaults: metrics.memory.totalPgFault, majorPageFaults: metrics.memory.totalPgMajFault,
      outOfMemoryKills: metrics.memoryOomControl.oomKill)
    processes = metrics.pids.current
    processLimit = metrics.pids.limit == 0 ? nil : metrics.pids.limit
    devices = ResourceUsage.devices(metrics.blkio)
  }

  private init(_ metrics: CGroup2Metrics, _ time: Timestamp) {
    self.time = time
    cgroup = 2
    cpu = CPU(
      usage: metrics.cpu.usageUsec * 1000, user: metrics.cpu.userUsec * 1000,
      system: metrics.cpu.systemUsec * 1000, periods: metrics.cpu.nrPeriods,
      throttledPeriods: metrics.cpu.nrThrottled, throttled: metrics.cpu.throttledUsec * 1000)
    let memory = metrics.memory
    self.memory = Memory(
      usage: memory.usage, limit: ResourceUsage.limit(memory.usageLimit),
      maximum: memory.maxUsage == 0 ? nil : memory.maxUsage, anonymous: memory.anon, file: memory.file,
      inactiveFile: memory.inactiveFile, swap: memory.swapUsage,
      swapLimit: ResourceUsage.limit(memory.swapLimit), pageFaults: memory.pgfault,
      majorPageFaults: memory.pgmajfault, outOfMemoryKills: metrics.memoryEvents.oomKill)
    processes = metrics.pids.current
    processLimit = metrics.pids.limit == 0 ? nil : metrics.pids.limit
    devices = metrics.io.usage.map { entry in
      Device(
        major: entry.major, minor: entry.minor, readBytes: entry.rbytes, writtenBytes: entry.wbytes,
        reads: entry.rios, writes: entry.wios)
    }
  }

  /// Without a limit cgroup v1 says the largest multiple of a page, v2 all ones, and containerd where there is no such
  /// file 0.
  private static func limit(_ bytes: UInt64) -> UInt64? {
    bytes == 0 || bytes >= 0x7FFF_FFFF_FFFF_0000 ? nil : bytes
  }

  private static func devices(_ stat: CGroup1BlkIOStat) -> [Device] {
    var devices: [Device] = []
    func add(_ entry: CGroup1BlkIOEntry, _ change: (inout Device) -> Void) {
      let index =
        devices.firstIndex { $0.major == entry.major && $0.minor == entry.minor } ?? devices.count
      if index == devices.count { devices.append(Device(major: entry.major, minor: entry.minor)) }
      change(&devices[index])
    }
    for entry in stat.ioServiceBytesRecursive {
      switch entry.op.lowercased() {
      case "read": add(entry) { $0.readBytes = entry.value }
      case "write": add(entry) { $0.writtenBytes = entry.value }
      default: break
      }
    }
    for entry in stat.ioServicedRecursive {
      switch entry.op.lowercased() {
      case "read": add(entry) { $0.reads = entry.value }
      case "write": add(entry) { $0.writes = entry.value }
      default: break
      }
    }
    return devices
  }
}
