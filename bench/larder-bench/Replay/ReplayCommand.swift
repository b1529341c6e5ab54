import ArgumentParser
import LarderPolicy

/// What a cache keeps of the prefixes that real requests share, by eviction policy and size.
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Replays a trace of requests, and says which share of their prompts a cache would have held.",
        discussion: """
            A prompt block is a hit if it and all blocks before it are held. A cache of 0.01 holds a hundredth of the
            trace's different blocks. Write amplification is blocks written for each block put: a sweep writes again
            what it keeps. A trace is one JSON object a line with input_length and hash_ids, one id for 512 tokens.
            """)
    @Flag(help: "Simulate policies in memory, without a daemon.")
    var simulate = false
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
        guard simulate else {
            throw ValidationError("replay cannot drive a daemon yet: give --simulate to simulate policies in memory")
        }
        let policies = try parsedPolicies()
        let fractions = try parsedSizes()
        let configuration = try sweepConfiguration()
        let requests = try RequestTrace(file: trace)
        let table = SimulationTable(
            trace: requests, name: String(trace.split(separator: "/").last ?? ""), policies: policies,
            fractions: fractions, configuration)
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
