// swift-tools-version: 6.2

import PackageDescription

// A package of its own, as libFuzzer needs unsafe flags. Protocol is the same sources, by a link.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// Coverage for libFuzzer to go by. Not -sanitize=fuzzer, whose kind of coverage libFuzzer no longer takes.
let instrumented: [SwiftSetting] = [
  .unsafeFlags(["-sanitize=address", "-sanitize-coverage=edge,inline-8bit-counters,pc-table,trace-cmp"])
]

let package = Package(
  name: "fuzz",
  targets: [
    .systemLibrary(name: "CJansson"),
    .target(name: "CVector"),
    .target(name: "Protocol", dependencies: ["CJansson", "CVector"], swiftSettings: settings + instrumented),
    .executableTarget(
      name: "FuzzLines", dependencies: ["Protocol"],
      swiftSettings: settings + instrumented,
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]),
  ]
)
