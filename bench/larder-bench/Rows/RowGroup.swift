import Foundation
import LarderSampleState
import LarderSystem

/// Rows of the page table that are measured together.
protocol RowGroup {
    /// The names of its rows: those with a goal first, in the table's order.
    static var names: [String] { get }

    /// Measures them. Rows that cannot be measured here are left out, after a line on standard error that says why.
    static func measure(_ bench: PageBench) throws -> [Measurement]
}

/// What the groups of rows share.
struct PageBench {
    /// The real state, bf16.
    let state: SampleState
    /// The real state as chunks.
    let real: ChunkSet
    /// Runs of which the median counts.
    let runs: Int
    /// More arguments for the daemon.
    let daemonArguments: [String]

    /// Threads that run at once.
    var cores: Int { ProcessInfo.processInfo.activeProcessorCount }
    /// Runs of what takes half a second or more.
    var longRuns: Int { max(3, runs / 3) }

    /// Runs `body` with a daemon on a new store and with the directory that the store is in; then removes both.
    func withDaemon<Result>(
        _ arguments: [String] = [], _ body: (DaemonProcess, String) throws -> Result
    ) throws -> Result {
        let directory = try FileSystem.makeTemporaryDirectory(prefix: "larder-bench-")
        defer { FileSystem.removeTree(directory) }
        let daemon = DaemonProcess(directory: directory, arguments: ["--cap", "8GiB"] + arguments + daemonArguments)
        defer { daemon.stop() }
        _ = try daemon.start(name: "larder-bench")
        return try body(daemon, directory)
    }
}

extension Measurement {
    /// How many times faster `time` is than `base`: both in nanoseconds for `bytes`, which the detail tells as speeds.
    static func ratio(
        _ name: String, of time: Double, to base: Double, goal: Double, bytes: Int, detail: [String: String] = [:]
    ) -> Measurement {
        let own = [
            "gb_per_s": formatted(Double(bytes) / time, 3), "base_gb_per_s": formatted(Double(bytes) / base, 3),
            "bytes": "\(bytes)",
        ]
        return Measurement(name, base / time, unit: "ratio", goal: goal, detail: detail.merging(own) { $1 })
    }

    /// `bytes` in `time` nanoseconds.
    static func speed(_ name: String, bytes: Int, time: Double, detail: [String: String] = [:]) -> Measurement {
        Measurement(name, Double(bytes) / time, unit: "GB/s", detail: detail)
    }
}
