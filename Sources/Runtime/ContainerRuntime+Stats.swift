internal import ContainerdAPI
internal import FIFOIO

extension ContainerRuntime {
  /// What tasks use, and why there is nothing of the others.
  package struct Stats: Sendable {
    package var usages: [String: ResourceUsage] = [:]
    package var failures: [String: RuntimeError] = [:]
  }

  /// Stats, in one RPC for any number of tasks; the rate of CPU use is since the last time that they were asked for.
  ///
  /// - Parameter ids: none for all tasks of the namespace.
  package func stats(_ ids: [String]) async throws(RuntimeError) -> Stats {
    var stats = Stats()
    do throws(RuntimeError) {
      add(try await metricsRPC(ids, timeout: .seconds(2) + .milliseconds(20) * ids.count), to: &stats)
    } catch {
      // One shim that hangs keeps all in the call from their answer; so each gets a call of its own.
      guard error.kind == .deadlineExceeded, !Task.isCancelled else { throw error }
      let asked = ids.isEmpty ? containers.values.filter { $0.task != nil }.map(\.id) : ids
      await askOneByOne(asked, &stats)
    }
    for id in ids where stats.usages[id] == nil && stats.failures[id] == nil {
      stats.failures[id] = RuntimeError(
        .notFound, "container \(id) has no task, or its cgroup cannot be read")
    }
    return stats
  }

  private func askOneByOne(_ ids: [String], _ stats: inout Stats) async {
    let answers = await concurrently(ids) { id -> Result<[CDMetric], RuntimeError> in
      do throws(RuntimeError) {
        return .success(try await self.metricsRPC([id], timeout: .seconds(2)))
      } catch {
        return .failure(error)
      }
    }
    for (id, answer) in zip(ids, answers) {
      switch answer {
      case .success(let metrics): add(metrics, to: &stats)
      case .failure(let error): stats.failures[id] = error
      }
    }
  }

  private func add(_ metrics: [CDMetric], to stats: inout Stats) {
    for metric in metrics {
      guard var usage = ResourceUsage(metric) else { continue }
      let sample = CPUSample(time: UInt64(max(0, usage.time.total)), usage: usage.cpu.usage)
      usage.cpu.rate = samples[metric.id]?.rate(until: sample)
      // What is not ours ends without our notice, so it must not pile up.
      if samples.count >= ContainerRuntime.rememberedSamples, samples[metric.id] == nil { samples = [:] }
      samples[metric.id] = sample
      stats.usages[metric.id] = usage
    }
  }

  private static let rememberedSamples = 16384

  func metricsRPC(_ ids: [String], timeout: Duration) async throws(RuntimeError) -> [CDMetric] {
    var request = CDMetricsRequest()
    request.filters = ids.map { "id==" + $0 }
    let began = ContinuousClock.now
    let metrics = try await containerd.call(ContainerdService.Tasks.metrics, request, timeout: timeout)
      .metrics
    // containerd knows of the deadline: when it is there, it leaves out what it has not got and answers OK
    // (services/tasks, getTasksMetrics), at times before gRPC here gives up.
    if ContinuousClock.now - began > timeout - .milliseconds(100) {
      throw RuntimeError(.deadlineExceeded, "a shim did not answer in time")
    }
    return metrics
  }
}
