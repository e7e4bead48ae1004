internal import FIFOIO

/// Does something for all elements at the same time, and returns when all is done. Cancelling reaches each.
///
/// Thousands are begun in several rounds of the loop, so that it sees to everything else between.
///
/// Task groups would do, if the compiler (6.3) could follow them on a global actor.
@Loop
func concurrently<Element: Sendable, Value: Sendable>(
  _ elements: some Sequence<Element>, _ body: @escaping @Loop (Element) async -> Value
) async -> [Value] {
  let tasks = Tasks<Value>()
  return await withTaskCancellationHandler {
    for element in elements {
      tasks.add(Task { @Loop in await body(element) })
      if tasks.all.count.isMultiple(of: atOnce) { await Loop.sleep(.zero) }
    }
    var values: [Value] = []
    for task in tasks.all { values.append(await task.value) }
    return values
  } onCancel: {
    Task { @Loop in tasks.cancel() }
  }
}

/// In one round.
private let atOnce = 32

/// Those that are begun so far.
@Loop
private final class Tasks<Value: Sendable> {
  private(set) var all: [Task<Value, Never>] = []
  private var isCancelled = false

  func add(_ task: Task<Value, Never>) {
    all.append(task)
    if isCancelled { task.cancel() }
  }

  func cancel() {
    isCancelled = true
    for task in all { task.cancel() }
  }
}
