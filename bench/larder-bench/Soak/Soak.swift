import ArgumentParser
import LarderModel
import LarderSystem

/// Minutes of everything at once against a daemon at its cap.
struct Soak: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Page-outs, page-ins, forks, truncates and drops at random, on a full store; compares every byte.",
        discussion: """
            The daemon and its store are made under TMPDIR, or /tmp, and removed. Exits with 1 if a byte was wrong, if \
            the files were over the cap, or if what a resume had named was evicted under its lease.
            """)
    @OptionGroup var common: CommonOptions
    @Option(help: "Minutes that it takes.")
    var minutes = 10.0
    @Option(help: "The daemon's cap.")
    var cap = "256MiB"
    @Option(help: "Workers at once.")
    var workers = 4
    @Option(help: "The seed of what the workers choose; printed, so that a run can be repeated.")
    var seed: UInt64 = .random(in: 0..<1 << 32)
    @Option(
        name: .customLong("daemon-argument"), parsing: .unconditionalSingleValue,
        help: "One more argument for larderd, such as --shards=2.")
    var daemonArguments: [String] = []

    func validate() throws {
        guard minutes > 0, minutes <= 1_440 else { throw ValidationError("--minutes \(minutes) is not in 0...1440") }
        try CommonOptions.require(workers, in: 1...64, "workers")
        guard let bytes = try? Quantity.bytes(cap), bytes >= 64 << 20 else {
            throw ValidationError("--cap \(cap) is not a size of at least 64MiB")
        }
    }

    func run() throws {
        // 256 KiB a chunk, of real values, so that it is encoded like them.
        let set = ChunkSet(valuesOf: try common.sampleState(), chunks: 128, layers: 4, tokens: 64)
        if !common.json { print("seed \(seed)") }
        let rows = try ChurnStore.with(capBytes: try Quantity.bytes(cap), daemonArguments) { store in
            let memory = try MemorySampler(of: store.daemon.identifier ?? 0)
            let workers = try (0..<workers).map { try SoakWorker(store.daemon, set, number: $0, seed: seed) }
            let deadline = Clock.deadline(seconds: minutes * 60)
            let outcome = Result {
                try Threads.run(workers.count) { index in
                    while Clock.now() < deadline { try workers[index].step() }
                }
            }
            let rss = memory.stop()
            _ = try outcome.get()
            var totals = SoakTotals()
            for worker in workers { totals.add(worker.totals) }
            return try measurements(store, totals, rss)
        }
        try common.show(rows)
        let bad = ["wrong_bytes", "cap_overshoot_bytes", "chunks_lost_under_lease"]
        if rows.contains(where: { bad.contains($0.name) && $0.value > 0 }) { throw ExitCode.failure }
    }

    private func measurements(
        _ store: ChurnStore, _ totals: SoakTotals, _ rss: (first: Int, highest: Int)
    ) throws -> [Measurement] {
        let stat = try store.stat()
        let files = store.files
        func count(_ name: String, _ value: Int, goal: Double? = nil) -> Measurement {
            Measurement(name, Double(value), unit: "count", goal: goal, better: goal == nil ? .higher : .lower)
        }
        func bytes(_ name: String, _ value: Int, goal: Double? = nil) -> Measurement {
            Measurement(
                name, Double(value), unit: "bytes", goal: goal, better: .lower,
                detail: ["cap_bytes": "\(store.capBytes)", "seed": "\(seed)", "size_samples": "\(files.samples)"])
        }
        let evicted = stat.counters.filter { $0.name.hasPrefix("evicted_") }.reduce(0) { $0 + Int($1.value) }
        let put = Double(stat["put_bytes"])
        return [
            bytes("wrong_bytes", totals.wrongBytes, goal: 0),
            bytes("cap_overshoot_bytes", max(0, files.largest - store.capBytes), goal: 0),
            count("chunks_lost_under_lease", totals.lostUnderLease, goal: 0),
            count("turns", totals.turns), count("chunks_put", totals.puts), count("chunks_paged_in", totals.pagedIn),
            count("forks", totals.forks), count("truncates", totals.truncates), count("drops", totals.drops),
            count("turns_shortened_by_eviction", totals.shortened), count("chunks_evicted", evicted),
            count("refused_full_or_busy", totals.refused),
            Measurement(
                "write_amplification", (put + Double(stat["moved_bytes"])) / put, unit: "ratio", better: .lower),
            bytes("files_largest", files.largest), bytes("daemon_rss_anonymous_at_start", rss.first),
            bytes("daemon_rss_anonymous_highest", rss.highest),
        ]
    }
}
