import Foundation
import Testing
import TestSupport

/// The examples of protocol.md, as they stand there.
struct DocumentTests {
  /// Chapters whose examples are one session, and how many lines of the worker they show at least.
  @Test(arguments: [("Stdio", 19), ("Description", 1)])
  func aChapterIsASessionThatRuns(name: String, count: Int) async throws {
    let path = URL(fileURLWithPath: Sandbox.scripts).deletingLastPathComponent().path + "/protocol.md"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let chapter = try #require(
      text.components(separatedBy: "\n## \(name)\n").last?.components(separatedBy: "\n## ").first)
    let bed = try await TestBed.start()
    let client = try DescriptorClient(bed.worker.socket)
    var examples = 0
    for line in chapter.split(separator: "\n").map({ $0.trimmingCharacters(in: .whitespaces) }) {
      let example = line.dropFirst(2).replacingOccurrences(of: "/tmp/doc1/rootfs", with: bed.rootfs)
      if line.hasPrefix("> {") {
        client.send(text: example)
      } else if line.hasPrefix("< {") {
        // Lines between them are left out there.
        try await client.until(example)
        examples += 1
      }
    }
    #expect(examples >= count)
    if name == "Stdio" { try await bed.remove("s1") }
    try await bed.finish()
  }
}

extension DescriptorClient {
  /// Reads lines until one is like an example, in which `…` stands for anything.
  fileprivate func until(_ example: String) async throws {
    let parts = example.components(separatedBy: "…")
    var seen: [String] = []
    while true {
      let line = try await nextText().line
      seen.append(line)
      var rest = Substring(line)
      let fits = parts.enumerated().allSatisfy { index, part in
        if part.isEmpty { return true }
        guard let range = rest.range(of: part), index > 0 || range.lowerBound == rest.startIndex else {
          return false
        }
        rest = rest[range.upperBound...]
        return true
      }
      if fits { return }
      if line.hasPrefix("{\"error\"") || seen.count > 200 {
        throw TestFailure("not like \(example):\n\(seen.joined(separator: "\n"))")
      }
    }
  }
}
