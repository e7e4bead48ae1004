// swift-tools-version: 6.2

import PackageDescription

/// What every Swift target is built with. CI adds `-warnings-as-errors` for our own targets.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "containerd-worker",
  products: [
    .executable(name: "containerd-worker", targets: ["Worker"])
  ],
  dependencies: [
    // Without traits swift-protobuf needs FoundationEssentials only, not all of Foundation and ICU.
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
  ],
  targets: [
    // No pkgConfig for gRPC: SwiftPM expands its abseil requirements into a command line too long to run.
    .systemLibrary(name: "CGRPC", providers: [.apt(["libgrpc-dev"])]),
    .systemLibrary(name: "CJansson", providers: [.apt(["libjansson-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .target(name: "CLinux"),
    .target(
      name: "GRPC",
      dependencies: ["CGRPC"],
      swiftSettings: settings),
    .target(
      name: "ContainerdAPI",
      dependencies: ["GRPC", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
      exclude: ["Protos"],
      swiftSettings: settings),
    .target(name: "CVector"),
    .target(name: "Protocol", dependencies: ["CJansson", "CVector"], swiftSettings: settings),
    .target(
      name: "FIFOIO",
      dependencies: [
        "CLinux",
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "HeapModule", package: "swift-collections"),
      ],
      swiftSettings: settings),
    .target(
      name: "Journal",
      dependencies: ["CSQLite", "CLinux", "FIFOIO", .product(name: "Logging", package: "swift-log")],
      swiftSettings: settings),
    .target(
      name: "Runtime",
      dependencies: [
        "GRPC", "ContainerdAPI", "FIFOIO", "Journal",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "Worker",
      dependencies: [
        "Protocol", "Runtime", "FIFOIO", "Journal", "CLinux",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    // Measures a worker beside bare RPCs; Benchmarks/run sets both up.
    .executableTarget(
      name: "Bench",
      dependencies: [
        "CLinux", "ContainerdAPI", "GRPC", "Protocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),
    .target(
      name: "TestSupport", dependencies: ["CLinux", "FIFOIO"], path: "Tests/Support", swiftSettings: settings),
    .testTarget(name: "ProtocolTests", dependencies: ["Protocol", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "GRPCTests",
      dependencies: [
        "GRPC", "ContainerdAPI", "TestSupport", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings),
    .testTarget(name: "FIFOIOTests", dependencies: ["FIFOIO", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "JournalTests",
      dependencies: ["FIFOIO", "Journal", "TestSupport", .product(name: "Logging", package: "swift-log")],
      swiftSettings: settings),
    .testTarget(
      name: "RuntimeTests",
      dependencies: [
        "ContainerdAPI", "FIFOIO", "GRPC", "Journal", "Runtime", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ], swiftSettings: settings),
    // The worker as a program against a real containerd; it depends on Worker so that the program is built.
    .testTarget(
      name: "EndToEnd",
      dependencies: [
        "ContainerdAPI", "GRPC", "TestSupport", "Worker",
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      swiftSettings: settings
    ),
  ]
)
