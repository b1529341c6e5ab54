import ArgumentParser
import LarderModel
import LarderSampleState
import LarderSystem

/// What a store costs once its cap is reached.
struct Churn: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Page-outs and page-ins with the cap reached, against the same with room; files, writes and the cap.",
        discussion: """
            Each round starts a daemon on a new store under TMPDIR, or /tmp. Writers page chunks of 1 MiB of real \
            values out, in batches that are acknowledged as durable, to sessions that nobody drops: what goes, the \
            compactor chooses. After each session a writer pages in one of three that it goes back to, so that a part \
            of the store is hot. churn_throughput is against a store whose file grows; churn_over_roomy_store against \
            the same file once all in it was dropped, so that only the compactor differs. Page-ins are of one chunk, \
            every 2 ms, from a session that stays in use; their p99 is of all rounds together. The page-outs beside \
            them go at --rate, which leaves processors for the page-ins; rows that end in full_load say what they meet \
            when page-outs take all there is.
            """)
    @OptionGroup var common: CommonOptions
    @OptionGroup var options: ChurnOptions
    @Flag(help: "Measure throughput, files and writes only.")
    var throughputOnly = false

    func run() throws {
        let quiet = Quiet()
        defer { quiet.warn() }
        // 4 layers with K and V, 256 tokens: 1 MiB a chunk, 32 chunks a session.
        let set = ChunkSet(valuesOf: try common.sampleState(), chunks: 32, layers: 4, tokens: 256)
        var rows = try ChurnThroughput(options: options, set: set).measure()
        if !throughputOnly { rows += try ChurnPageIns(options: options, set: set).measure() }
        try common.show(rows.filter { $0.goal != nil } + rows.filter { $0.goal == nil })
    }
}

/// What a churn is.
struct ChurnOptions: ParsableArguments {
    @Option(help: "The daemon's cap.")
    var cap = "1GiB"
    @Option(help: "Writers at once, each with its own connection, arena and sessions.")
    var writers = 4
    @Option(help: "Rounds, each on a new store: the median of ratios, the worst of what has a bound.")
    var rounds = 3
    @Option(help: "Seconds of page-ins in each state of a round.")
    var seconds = 4.0
    @Option(name: .customLong("rate"), help: "Raw bytes of page-outs a second beside page-ins.")
    var rateText = "128MiB"
    @Option(
        name: .customLong("daemon-argument"), parsing: .unconditionalSingleValue,
        help: "One more argument for larderd, such as --shards=2.")
    var daemonArguments: [String] = []

    var capBytes: Int { (try? Quantity.bytes(cap)) ?? 0 }
    var rate: Int { (try? Quantity.bytes(rateText)) ?? 0 }

    func validate() throws {
        guard capBytes >= 512 << 20 else { throw ValidationError("--cap \(cap) is not a size of at least 512MiB") }
        guard rate >= 1 << 20 else { throw ValidationError("--rate \(rateText) is not a size of at least 1MiB") }
        try CommonOptions.require(writers, in: 1...64, "writers")
        try CommonOptions.require(rounds, in: 1...100, "rounds")
        guard seconds > 0, seconds <= 600 else { throw ValidationError("--seconds \(seconds) is not in 0...600") }
    }

    /// What was measured, for the details of its figures.
    func detail(_ set: ChunkSet) -> [String: String] {
        [
            "cap_bytes": "\(capBytes)", "writers": "\(writers)", "chunks_a_batch": "\(ChurnWriter.batch)",
            "chunk_bytes": "\(set.chunks[0].range.count)", "acknowledgement": "durable", "encoding": "auto",
            "rounds": "\(rounds)",
        ]
    }
}
