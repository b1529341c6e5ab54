import ArgumentParser
import LarderClient
import LarderPolicy

/// What a cache keeps of the prefixes that real requests share, by eviction policy and size.
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Replays a trace of requests, and says which share of their prompts a cache would have held.",
        discussion: """
            A prompt block is a hit if it and all blocks before it are held. A cache of 0.01 holds a hundredth of the \
            trace's different blocks. Write amplification is blocks written for each block put: a sweep writes again \
            what it keeps. A trace is one JSON object a line with input_length and hash_ids, one id for 512 tokens.

            Without --simulate, a daemon is started for each size, with a cap that holds so many blocks. Every request \
            matches its prefix, puts what is known by key, pages it in, and pages the rest out, committed, in a \
            session of its own, one request after another; every byte that is paged in is compared. Stores are under \
            TMPDIR, or /tmp. LARDER_POLICY=lru, and the daemon's other variables, hold for the daemons that are \
            started.
            """)
    @Flag(help: "Simulate policies in memory, without a daemon.")
    var simulate = false
    @OptionGroup(title: "Live") var live: LiveReplayOptions
    @Option(help: "The trace: conversation_trace.jsonl of kvcache-ai/Mooncake, in FAST25-release/traces.")
    var trace = RequestTrace.usualPath
    @Option(help: "Policies, separated by commas: \(SimulatedPolicy.allCases.map(\.rawValue).joined(separator: ", ")).")
    var policy = SimulatedPolicy.allCases.map(\.rawValue).joined(separator: ",")
    @Option(help: "Cache sizes as shares of the trace's different blocks, separated by commas.")
    var sizes = "0.01,0.05,0.1,0.25,0.5"
    @Option(help: "The share of residents that a block must be hotter than for the sweep to keep it.")
    var quantile = SweepRule.Configuration().quantile
    @Option(help: "Requests of recency that an e-fold of frequency is worth, in heat.")
    var tau = SweepRule.Configuration().tau
    @Option(help: "Where the sweep's random samples start from.")
    var seed: UInt64 = 0
    @Flag(help: "Print JSON instead of text.")
    var json = false

    func run() throws {
        let policies = try parsedPolicies()
        let fractions = try parsedSizes()
        let configuration = try sweepConfiguration()
        if policies.isEmpty || fractions.isEmpty {
            throw ValidationError("--policy and --sizes each need at least one value")
        }
        let requests = try RequestTrace(file: trace)
        let name = String(trace.split(separator: "/").last ?? "")
        if !simulate { return try runLive(requests, name, fractions, configuration) }
        let table = SimulationTable(
            trace: requests, name: name, policies: policies, fractions: fractions, configuration)
        if json { try Measurement.printJSON(table.measurements) } else { table.printText() }
    }

    private func runLive(
        _ requests: RequestTrace, _ name: String, _ fractions: [Double], _ configuration: SweepRule.Configuration
    ) throws {
        let replay = LiveReplay(
            trace: requests, chunkBytes: live.chunkBytes, daemonArguments: live.daemonArguments)
        let outcomes: [LiveReplay.Outcome]
        if let socket = live.socket {
            let client = try Client(socketPath: socket, name: "larder-replay")
            outcomes = [try replay.run(client, fraction: 1, chunkBytes: live.chunkBytes ?? 32 << 10)]
        } else {
            outcomes = try fractions.map { try replay.run(fraction: $0) }
        }
        let table = LiveTable(trace: requests, name: name, outcomes: outcomes, configuration)
        if json { try Measurement.printJSON(table.measurements) } else { table.printText() }
    }

    private func parsedPolicies() throws -> [SimulatedPolicy] {
        try policy.split(separator: ",").map { name in
            guard let policy = SimulatedPolicy(rawValue: String(name)) else {
                let known = SimulatedPolicy.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--policy \(name) is not one of \(known)")
            }
            return policy
        }
    }

    private func parsedSizes() throws -> [Double] {
        try sizes.split(separator: ",").map { size in
            guard let fraction = Double(size), fraction > 0, fraction <= 1 else {
                throw ValidationError("--sizes \(size) is not a share above 0 and up to 1")
            }
            return fraction
        }
    }

    private func sweepConfiguration() throws -> SweepRule.Configuration {
        guard (0...1).contains(quantile) else { throw ValidationError("--quantile \(quantile) is not in 0...1") }
        guard tau > 0, tau.isFinite else { throw ValidationError("--tau \(tau) is not a positive number of requests") }
        var configuration = SweepRule.Configuration()
        configuration.quantile = quantile
        configuration.tau = tau
        configuration.seed = seed
        return configuration
    }
}

/// How a live replay drives a daemon.
struct LiveReplayOptions: ParsableArguments {
    @Option(help: "The socket of a daemon that runs, to replay against it as it is, whatever its size.")
    var socket: String?
    @Option(help: "What a block takes in the store, a multiple of 4096 (default: 32 KiB, more in small caches).")
    var chunkBytes: Int?
    @Option(
        name: .customLong("daemon-argument"), parsing: .unconditionalSingleValue,
        help: "One more argument for larderd, such as --shards=2.")
    var daemonArguments: [String] = []

    func validate() throws {
        guard let chunkBytes else { return }
        try CommonOptions.require(chunkBytes, in: 4_096...1 << 20, "chunk-bytes")
        guard chunkBytes % 4_096 == 0 else {
            throw ValidationError("--chunk-bytes \(chunkBytes) is not a multiple of 4096")
        }
    }
}
