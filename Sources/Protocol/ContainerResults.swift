// The schema of the results of what is about containers, tasks and processes.

extension ContainerCreate {
  package static var result: JSONValue {
    Schema.object(["container": Schema.string, "bundle": Schema.string])
  }
}

extension ContainerInspect {
  package static var result: JSONValue {
    Schema.object(
      Part.merged(
        Part.summaryOfContainer,
        [
          "bundle": Schema.string, "spec": Schema.nullable(Schema.anyObject),
          "task": Schema.nullable(Part.known), "processes": Schema.array(of: Part.known),
        ]))
  }
}

extension ContainerList {
  package static var result: JSONValue {
    Schema.object(["containers": Schema.array(of: Schema.object(Part.summaryOfContainer))])
  }
}

extension ContainerDelete {
  package static var result: JSONValue { Schema.object(["container": Schema.string]) }
}

extension TaskStart {
  package static var result: JSONValue { Schema.object(Part.started, optional: Part.attached) }
}

extension TaskPause {
  package static var result: JSONValue { Schema.object() }
}

extension TaskResume {
  package static var result: JSONValue { Schema.object() }
}

extension TaskUpdate {
  package static var result: JSONValue { Schema.object() }
}

extension TaskStats {
  package static var result: JSONValue {
    let failure = Schema.object(["code": Schema.choice(ErrorCode.self), "message": Schema.string])
    return Schema.object(
      ["containers": Schema.map(of: usage)], optional: ["failed": Schema.map(of: failure)])
  }

  private static var usage: JSONValue {
    let limit = Schema.nullable(Schema.count)
    return Schema.object([
      "time": Part.time, "cgroup": ["enum": [1, 2]],
      "cpu": Schema.object(
        counts(["usage_ns", "user_ns", "system_ns", "periods", "throttled_periods", "throttled_ns"])
          .merging(["cores": Schema.nullable(["type": "number"]), "interval_ns": limit]) { own, _ in own }),
      "memory": Schema.object(
        counts([
          "usage_bytes", "anon_bytes", "file_bytes", "inactive_file_bytes", "page_faults",
          "major_page_faults",
          "oom_kills",
        ]).merging([
          "limit_bytes": limit, "max_usage_bytes": limit, "swap_bytes": limit, "swap_limit_bytes": limit,
        ]) { own, _ in own }),
      "pids": Schema.object(["current": Schema.count, "limit": limit]),
      "io": Schema.array(
        of: Schema.object(
          counts(["read_bytes", "written_bytes", "reads", "writes"])
            .merging(["device": Schema.matching("^[0-9]+:[0-9]+$")]) { own, _ in own })),
    ])
  }

  private static func counts(_ names: [String]) -> [String: JSONValue] {
    Dictionary(uniqueKeysWithValues: names.map { ($0, Schema.count) })
  }
}

extension TaskProcesses {
  package static var result: JSONValue {
    let process = Schema.object(["pid": Schema.count, "process": Schema.nullable(Schema.string)])
    return Schema.object(["processes": Schema.array(of: process)])
  }
}

extension TaskCheckpoint {
  package static var result: JSONValue {
    Schema.object(["container": Schema.string, "directory": Schema.string])
  }
}

extension TaskDelete {
  package static var result: JSONValue { Schema.object(Part.exit) }
}

extension ProcessExec {
  package static var result: JSONValue { Schema.object(Part.started, optional: Part.attached) }
}

extension ProcessKill {
  package static var result: JSONValue { Schema.object() }
}

extension ProcessResize {
  package static var result: JSONValue { Schema.object() }
}

extension ProcessStatus {
  package static var result: JSONValue {
    let status = Schema.choice(["created", "running", "stopped", "paused", "pausing", "unknown"])
    return Schema.object(Part.merged(Part.started, ["status": status]), optional: Part.exit)
  }
}

extension ProcessDelete {
  package static var result: JSONValue { Schema.object(Part.exit) }
}

extension Run {
  package static var result: JSONValue {
    Schema.object(Part.merged(["container": Schema.string], Part.exit, Part.summaries))
  }
}

extension StdioAttach {
  package static var result: JSONValue { Schema.object(optional: Part.attached) }
}

extension StdioDetach {
  package static var result: JSONValue {
    let place = Schema.object(["offset": Part.bytes])
    return Schema.object(optional: ["stdout": place, "stderr": place])
  }
}

extension StdioCredit {
  package static var result: JSONValue { Schema.object(["offset": Part.bytes]) }
}

extension StdioWrite {
  package static var result: JSONValue { Schema.object(["offset": Part.bytes]) }
}

extension StdioClose {
  package static var result: JSONValue { Schema.object(["offset": Part.bytes]) }
}
