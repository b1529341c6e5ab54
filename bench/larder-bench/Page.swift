import ArgumentParser
import LarderModel
import LarderSystem

/// The table of what paging costs next to what the machine allows; or, with a load's options, that load alone.
struct Page: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Page-in and page-out, as ratios to what memory, codec, disk and Redis do in the same run.",
        discussion: """
            Stores and disk measurements are under TMPDIR, or /tmp. With any of --workers, --size, --encoding, \
            --acknowledgement, --synthetic and --seconds, page runs that load alone: workers that page out one chunk \
            after another, each acknowledged, and then in, with the latencies of the operations.
            """)
    @OptionGroup var common: CommonOptions
    @OptionGroup(title: "Load") var load: LoadOptions
    @Option(help: "Runs of which the median counts.")
    var runs = 15
    @Option(help: "Shards of the daemon's store.")
    var shards = 1
    @Option(
        name: .customLong("daemon-argument"), parsing: .unconditionalSingleValue,
        help: "One more argument for larderd, such as --queue=32MiB.")
    var daemonArguments: [String] = []
    @Option(parsing: .upToNextOption, help: "Measure only the rows of these names.")
    var only: [String] = []

    /// In the order of the table.
    private static var groups: [any RowGroup.Type] {
        [
            RawPageIn.self, CascadePageIn.self, CodecSpeed.self, CommittedPageOut.self, Rivals.self, RoundTrip.self,
            ManyWorkers.self, FirstLayer.self, DaemonMemory.self,
        ]
    }

    func validate() throws {
        try CommonOptions.require(runs, in: 1...1_000, "runs")
        try CommonOptions.require(shards, in: 1...Limits.shards, "shards")
        let names = Self.groups.flatMap { $0.names }
        if let wrong = only.first(where: { !names.contains($0) }) {
            throw ValidationError("there is no row '\(wrong)'; the rows are \(names.joined(separator: ", "))")
        }
        if load.isGiven && !only.isEmpty { throw ValidationError("--only picks rows of the table, not of a load") }
    }

    func run() throws {
        let quiet = Quiet()
        defer { quiet.warn() }
        let state = try common.sampleState()
        let bench = PageBench(
            state: state, real: ChunkSet(state), runs: runs,
            daemonArguments: ["--shards", "\(shards)"] + daemonArguments)
        if load.isGiven {
            let result = try Load(load).run(bench)
            if common.json { try Measurement.printJSON(result.measurements) } else { result.printTable() }
            return
        }
        var rows: [Measurement] = []
        for group in Self.groups where only.isEmpty || !Set(group.names).isDisjoint(with: only) {
            rows += try group.measure(bench).filter { only.isEmpty || only.contains($0.name) }
        }
        try common.show(rows.filter { $0.goal != nil } + rows.filter { $0.goal == nil })
    }
}
