import LarderPolicy
import LarderSystem
import LarderTestSupport
import Testing

/// Requests by hand, whose answers are counted by hand.
@Suite struct SimulatorTests {
    static func trace(_ prompts: [[UInt64]]) throws -> RequestTrace {
        let lines = prompts.enumerated().map { time, blocks in
            RequestTrace.Request(
                timestamp: UInt64(time), length: UInt64(blocks.count) * 512 - 100, outputLength: 1, blocks: blocks
            ).line
        }
        return try RequestTrace(Array(lines.joined(separator: "\n").utf8), name: "hand-made")
    }

    static func run(
        _ policy: SimulatedPolicy, _ trace: RequestTrace, capacity: Int, quantile: Double = 0.5
    ) -> Simulator.Outcome {
        var configuration = SweepRule.Configuration()
        configuration.quantile = quantile
        var cache = policy.cache(capacity: capacity, trace: trace, configuration)
        return Simulator.run(trace, &cache)
    }

    @Test(arguments: SimulatedPolicy.allCases) func aCacheThatHoldsAllHitsAllThatCameBefore(policy: SimulatedPolicy)
        throws
    {
        let trace = try Self.trace([[1, 2, 3], [1, 2, 4], [5], [1, 2, 3]])
        let outcome = Self.run(policy, trace, capacity: 5)
        #expect(outcome.requests == 4 && outcome.promptBlocks == 10)
        #expect(outcome.promptTokens == 3 * (3 * 512 - 100) + 412)
        #expect(outcome.hitBlocks == 2 + 3)
        #expect(outcome.hitTokens == 2 * 512 + 3 * 512 - 100)
        #expect(outcome.insertions == 5 && outcome.rewrites == 0 && outcome.writeAmplification == 1)
        #expect(outcome.hitRatio == 0.5)
    }

    @Test(arguments: SimulatedPolicy.allCases) func aCacheOfNothingHitsNothing(policy: SimulatedPolicy) throws {
        let trace = try Self.trace([[1, 2, 3], [1, 2, 4], [5], [1, 2, 3]])
        let outcome = Self.run(policy, trace, capacity: 0)
        #expect(outcome.hitBlocks == 0 && outcome.insertions == 10)
    }

    @Test func aHoleEndsThePrefix() throws {
        // The second prompt takes the room of block 1, the oldest of a log that keeps nothing.
        let trace = try Self.trace([[1, 2], [3], [1, 2]])
        let outcome = Self.run(.sweepLRU, trace, capacity: 2, quantile: 1)
        #expect(outcome.hitBlocks == 0 && outcome.insertions == 4)
        // Exact eviction takes the tail.
        #expect(Self.run(.lru, trace, capacity: 2).hitBlocks == 1)
    }

    @Test func frequencyOutlivesAScan() throws {
        let scan = (10..<20).map { [UInt64($0)] }
        let trace = try Self.trace([[1], [1], [1]] + scan + [[1]])
        #expect(Self.run(.heat, trace, capacity: 2).hitBlocks == 3)
        #expect(Self.run(.lru, trace, capacity: 2).hitBlocks == 2)
        #expect(Self.run(.fifo, trace, capacity: 2).hitBlocks == 2)
        #expect(Self.run(.sweep, trace, capacity: 4).hitBlocks == 3)
        #expect(Self.run(.sweep, trace, capacity: 4).rewrites > 0)
        #expect(Self.run(.sweepLRU, trace, capacity: 4).hitBlocks == 2)
    }

    @Test func beladyKnowsTheFuture() throws {
        let trace = try Self.trace([[1], [2], [3], [1], [2], [3], [1]])
        // The third makes room for itself in vain; 1 and 2 hit, then 1 again.
        #expect(Self.run(.belady, trace, capacity: 2).hitBlocks == 3)
        #expect(Self.run(.lru, trace, capacity: 2).hitBlocks == 0)
    }

    @Test(
        "The Mooncake conversation trace reaches the goals (skipped where the trace is absent)",
        .enabled(if: Repository.conversationTrace != nil, "no conversation trace beside the repository"))
    func conversationTrace() throws {
        let path = try #require(Repository.conversationTrace)
        let trace = try RequestTrace(FileSystem.read(path, limit: RequestTrace.limitBytes), name: path)
        #expect(trace.requests.count == 12_031 && trace.uniqueBlocks == 182_790)
        let goals = [(0.01, 0.105, 0.08), (0.05, 0.22, 0.21), (0.1, 0.29, 0.282), (0.25, 0.354, 0.344)]
        for (fraction, exact, swept) in goals {
            let capacity = Int((fraction * 182_790).rounded(.up))
            #expect(Self.run(.heat, trace, capacity: capacity).hitRatio >= exact)
            let sweep = Self.run(.sweep, trace, capacity: capacity)
            #expect(sweep.hitRatio >= swept)
            #expect(fraction < 0.1 || sweep.writeAmplification <= 1.3)
        }
    }
}
