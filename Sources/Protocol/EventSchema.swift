extension EventName {
  /// The schema of its line.
  var schema: JSONValue {
    let container: [String: JSONValue] = ["container": Schema.string]
    let exit = Part.exit.merging(["source": Schema.choice(["event", "wait", "reconcile", "lost"])]) {
      own, _ in own
    }
    switch self {
    case .containerCreated, .containerDeleted, .taskPaused, .taskResumed, .taskOutOfMemory, .taskCheckpointed:
      return lifecycle(container)
    case .taskCreated, .taskStarted: return lifecycle(Part.merged(container, ["pid": Schema.count]))
    case .taskDeleted: return lifecycle(container, optional: exit)
    case .processAdded: return lifecycle(Part.process)
    case .processStarted: return lifecycle(Part.started)
    case .processExited: return lifecycle(Part.merged(Part.started, exit))
    case .processClosed: return lifecycle(Part.merged(Part.started, exit, Part.summaries))
    case .containerdConnected: return lifecycle(["tasks": Schema.count, "exits": Schema.count])
    case .containerdDisconnected: return lifecycle(["reason": Schema.string])
    case .workerDraining: return lifecycle([:])
    case .stdioData:
      let forms = [["text": Schema.string], ["base64": Schema.base64]]
      return Schema.any(forms.map { output(Part.merged(["offset": Part.bytes], $0)) })
    case .stdioEOF:
      return output(
        ["offset": Part.bytes], optional: ["end": Schema.choice(["timeout", "lost", "handed_over"])])
    case .stdioGap:
      return output([
        "from": Part.bytes, "to": Part.bytes,
        "reason": Schema.choice(["expired", "slow", "timeout", "handed_over"]),
      ])
    case .stdinCredit: return line(Part.merged(Part.process, ["offset": Part.bytes]))
    case .stdinBroken: return line(Part.process)
    }
  }

  private func lifecycle(_ members: [String: JSONValue], optional: [String: JSONValue] = [:]) -> JSONValue {
    line(Part.merged(["seq": Part.sequence, "time": Part.time], members), optional: optional)
  }

  private func output(_ members: [String: JSONValue], optional: [String: JSONValue] = [:]) -> JSONValue {
    line(
      Part.merged(Part.process, ["stream": Schema.choice(["stdout", "stderr"])], members), optional: optional)
  }

  private func line(_ members: [String: JSONValue], optional: [String: JSONValue] = [:]) -> JSONValue {
    Schema.object(
      Part.merged(["event": Schema.constant(.string(rawValue))], members), optional: optional)
  }
}
