internal import FIFOIO

/// Does something for all elements at the same time, and returns when all is done. Cancelling reaches each.
///
/// Task groups would do, if the compiler (6.3) could follow them on a global actor.
@Loop
func concurrently<Element: Sendable, Value: Sendable>(
  _ elements: some Sequence<Element>, _ body: @escaping @Loop (Element) async -> Value
) async -> [Value] {
  let tasks = elements.map { element in Task { @Loop in await body(element) } }
  return await withTaskCancellationHandler {
    var values: [Value] = []
    for task in tasks { values.append(await task.value) }
    return values
  } onCancel: {
    for task in tasks { task.cancel() }
  }
}
