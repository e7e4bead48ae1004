/// Waits until something is so that nothing tells of; at most 20 s, as a test that spins for ever is worse than one that fails.
package func until(
  isolation: isolated (any Actor)? = #isolation, _ what: String, _ isSo: () throws -> Bool
) async throws {
  let end = ContinuousClock.now + .seconds(20)
  while try !isSo() {
    if ContinuousClock.now > end { throw TestFailure("it never came to this: \(what)") }
    await Task.yield()
  }
}
