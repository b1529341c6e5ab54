/// A cache under a policy, and what a trace makes of it.
public enum Simulator {
    /// What a run came to.
    public struct Outcome: Sendable, Hashable {
        /// Requests of the trace.
        public internal(set) var requests = 0
        /// Blocks of all prompts.
        public internal(set) var promptBlocks = 0
        /// Tokens of all prompts.
        public internal(set) var promptTokens: UInt64 = 0
        /// Prompt blocks that were held, with all blocks before them.
        public internal(set) var hitBlocks = 0
        /// Tokens of those.
        public internal(set) var hitTokens: UInt64 = 0
        /// Blocks that were put.
        public internal(set) var insertions = 0
        /// Blocks that were written again to keep them.
        public internal(set) var rewrites = 0

        /// Prefix hits by prompt blocks.
        public var hitRatio: Double { Double(hitBlocks) / Double(max(1, promptBlocks)) }
        /// Prefix hits by prompt tokens.
        public var tokenHitRatio: Double { Double(hitTokens) / Double(max(1, promptTokens)) }
        /// Blocks written for each block put.
        public var writeAmplification: Double { Double(insertions + rewrites) / Double(max(1, insertions)) }
    }

    /// Runs a trace through a cache: each request uses the blocks of its prompt that are held and puts the others.
    public static func run(_ trace: RequestTrace, _ cache: inout some EvictionPolicy) -> Outcome {
        var outcome = Outcome()
        for request in trace.requests {
            let hits = request.blocks.firstIndex { !cache.holds($0) } ?? request.blocks.count
            outcome.requests += 1
            outcome.promptBlocks += request.blocks.count
            outcome.promptTokens += request.length
            outcome.hitBlocks += hits
            outcome.hitTokens += request.tokens(blocks: hits)
            for (depth, block) in request.blocks.enumerated() {
                if !cache.holds(block) { outcome.insertions += 1 }
                cache.use(block, depth: depth)
            }
            cache.endRequest()
        }
        outcome.rewrites = cache.rewrites
        return outcome
    }
}
