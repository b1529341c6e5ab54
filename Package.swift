// swift-tools-version: 6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
]

/// A Swift library under Sources/ with the settings that all of ours share.
func library(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource]? = nil) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: swiftSettings)
}

/// A Swift Testing target under Tests/.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
let hummingbird = ["Hummingbird", "HummingbirdCore"].map {
    Target.Dependency.product(name: $0, package: "hummingbird")
}
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nio = ["NIOCore", "NIOPosix"].map { Target.Dependency.product(name: $0, package: "swift-nio") }
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")

let package = Package(
    name: "larder",
    products: [
        .executable(name: "larderd", targets: ["larderd"]),
        .executable(name: "larderctl", targets: ["larderctl"]),
        .executable(name: "larder-bench", targets: ["larder-bench"]),
        .library(name: "LarderClient", targets: ["LarderClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.1.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.0.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // C libraries, macros and vector kernels.
        .systemLibrary(name: "CLMDB", pkgConfig: "lmdb", providers: [.apt(["liblmdb-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .target(name: "CLarderSystem", cSettings: [.treatAllWarnings(as: .error)]),
        .target(name: "CLarderKernels", cSettings: [.treatAllWarnings(as: .error)]),

        // Libraries, bottom to top. A layer imports only what is above it in this list.
        library("LarderModel"),
        library("LarderPolicy", ["LarderModel"]),
        library("LarderSystem", ["CLarderSystem"]),
        library("LarderLMDB", ["CLMDB", "LarderSystem"]),
        library("LarderCodec", ["CLZ4", "CLarderKernels", "LarderModel"]),
        library("LarderWire", ["LarderModel"]),
        library(
            "LarderStore",
            ["LarderCodec", "LarderLMDB", "LarderModel", "LarderPolicy", "LarderSystem", crypto, logging]),
        library("LarderMetrics", ["LarderSystem", metrics]),
        library(
            "LarderServer",
            ["LarderCodec", "LarderPolicy", "LarderStore", "LarderSystem", "LarderWire", logging, metrics, toml]),
        library(
            "LarderAdmin",
            [
                "LarderCodec", "LarderMetrics", "LarderModel", "LarderServer", "LarderStore", "LarderSystem", lifecycle,
                logging, metrics, nioHTTPTypes,
            ] + nio + hummingbird,
            // The page travels in the binary, also where that is all that is copied.
            resources: [.embedInCode("Dashboard")]),
        library("LarderClient", ["LarderModel", "LarderSystem", "LarderWire"]),
        library("LarderAdminClient", ["LarderClient", "LarderModel", "LarderSystem"]),
        library("LarderArchive", ["LarderClient", "LarderCodec", "LarderModel", "LarderSystem", "LarderWire"]),

        // Executables: parse, wire up, run.
        .executableTarget(
            name: "larderd", dependencies: ["LarderAdmin", "LarderServer", argumentParser, logging],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "larderctl",
            dependencies: [
                "LarderAdminClient", "LarderArchive", "LarderClient", "LarderPolicy", "LarderStore", "LarderSystem",
                argumentParser, logging,
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "larder-bench",
            dependencies: [
                "LarderClient", "LarderCodec", "LarderModel", "LarderPolicy", "LarderSampleState", "LarderStore",
                "LarderSystem", "LarderWire", argumentParser, histogram,
            ],
            path: "bench/larder-bench", swiftSettings: swiftSettings),

        // What the bench suite and the tests share.
        .target(
            name: "LarderSampleState", dependencies: ["LarderModel", "LarderSystem"], path: "bench/LarderSampleState",
            swiftSettings: swiftSettings),
        .target(
            name: "LarderTestSupport", dependencies: ["LarderClient", "LarderSampleState", "LarderSystem"],
            path: "Tests/LarderTestSupport", swiftSettings: swiftSettings),
        // What must be true of everything that reads hostile bytes: for the fuzzer and the tests.
        .target(
            name: "LarderFuzzTargets",
            dependencies: [
                "LarderAdmin", "LarderArchive", "LarderClient", "LarderCodec", "LarderLMDB", "LarderMetrics",
                "LarderModel",
                "LarderServer", "LarderSystem", "LarderWire", logging,
            ],
            path: "bench/fuzz/LarderFuzzTargets", swiftSettings: swiftSettings),

        tests("LarderPolicyTests", ["LarderPolicy", "LarderModel", "LarderTestSupport"]),
        tests("LarderCodecTests", ["LarderCodec", "LarderTestSupport"]),
        tests("LarderWireTests", ["LarderWire", "LarderTestSupport"]),
        tests("LarderLMDBTests", ["LarderLMDB", "LarderSystem"]),
        tests("LarderStoreTests", ["LarderCodec", "LarderStore", "LarderTestSupport", logging]),
        tests("LarderServerTests", ["LarderServer", "LarderClient", "LarderTestSupport"]),
        tests("LarderMetricsTests", ["LarderMetrics", "LarderTestSupport", metrics]),
        tests("LarderAdminTests", ["LarderAdmin", "LarderServer", "LarderClient", "LarderTestSupport"]),
        tests(
            "LarderctlTests",
            ["LarderAdminClient", "LarderArchive", "LarderClient", "LarderCodec", "LarderTestSupport", "LarderWire"]),
        tests("LarderFuzzTests", ["LarderFuzzTargets", "LarderTestSupport"]),
    ]
)

// The fuzzer links libFuzzer and needs its counters in all code: only `make fuzz` builds it, in a folder of its own.
if Context.environment["LARDER_FUZZ"] == "1" {
    package.targets.append(
        .executableTarget(
            name: "larder-fuzz", dependencies: ["LarderFuzzTargets", "LarderSystem"], path: "bench/fuzz/larder-fuzz",
            swiftSettings: swiftSettings))
}
