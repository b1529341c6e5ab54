import ArgumentParser
import LarderModel
import LarderSystem

/// What forks and truncates cost against length and depth, and what reading through forks costs.
struct Forks: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forks and truncates against a session's length and depth; reading through many forks.",
        discussion: """
            Through a daemon on a store of its own under TMPDIR, or /tmp. Fork and truncate are answered when they are \
            committed, after an fdatasync: figures are medians of rounds in which every length or depth has its turn.
            """)
    @OptionGroup var common: CommonOptions
    @Option(help: "Forks of each kind, of which the median counts; half as many truncates, a tenth as many reads.")
    var runs = 200

    func validate() throws { try CommonOptions.require(runs, in: 10...10_000, "runs") }

    func run() throws {
        let quiet = Quiet()
        defer { quiet.warn() }
        let state = try common.sampleState()
        let bench = PageBench(state: state, real: ChunkSet(state), runs: runs, daemonArguments: [])
        var rows: [Measurement] = []
        rows += try ForkLengths.measure(bench)
        rows += try ForkDepths.measure(bench)
        try common.show(rows.filter { $0.goal != nil } + rows.filter { $0.goal == nil })
    }
}

extension Worker {
    /// Pages out some of the set's chunks, as one batch.
    func pageOut(_ chunks: Range<Int>, to session: UInt64) throws {
        for result in try client.put(Array(pageOuts(session)[chunks])) { _ = try result.get() }
    }

    /// Waits until the store has freed what nobody sees, so that the writer is idle.
    func awaitReaper() throws {
        let deadline = Clock.deadline(seconds: 30)
        while try client.stat()["graves"] > 0, Clock.now() < deadline { Clock.sleep(milliseconds: 1) }
    }

    /// Where a chunk of the set ends.
    func end(_ chunk: Int) -> UInt64 { set.chunks[chunk].offset + UInt64(set.chunks[chunk].tokens) }
}

/// Numbers the forks of a run, whose names must differ.
struct ForkNames {
    private var next = 0

    mutating func take() -> String {
        next += 1
        return "fork-\(next)"
    }
}
