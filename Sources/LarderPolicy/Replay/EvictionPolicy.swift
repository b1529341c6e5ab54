/// A cache of blocks and the rule by which it makes room, for a simulation.
public protocol EvictionPolicy {
    /// Blocks that were written a second time to keep them.
    var rewrites: Int { get }
    /// Whether a block is in the cache.
    func holds(_ block: UInt64) -> Bool
    /// Uses a block, and puts it if it is not held. `depth` is its place in the prompt, from 0.
    mutating func use(_ block: UInt64, depth: Int)
    /// Ends a request, whose blocks may have filled the cache beyond its capacity: makes room.
    mutating func endRequest()
}

extension EvictionPolicy {
    /// A policy that rewrites nothing.
    public var rewrites: Int { 0 }
}

/// The policies that a simulation knows by name.
public enum SimulatedPolicy: String, Sendable, CaseIterable {
    /// The furthest next use goes first: no policy that does not know the future beats it by much.
    case belady
    /// The coldest goes first (`HeatTable`).
    case heat
    /// The least recently used goes first.
    case lru
    /// The first in goes first.
    case fifo
    /// S3-FIFO (SOSP'23).
    case s3fifo
    /// The daemon's sweep by heat.
    case sweep
    /// The daemon's sweep by recency.
    case sweepLRU = "sweep-lru"
    /// The daemon's sweep by the counters of S3-FIFO.
    case sweepS3FIFO = "sweep-s3fifo"

    /// Whether the policy is a sweep, which rewrites what it keeps.
    public var isSweep: Bool { sweepPolicy != nil }

    private var sweepPolicy: SweepPolicy? {
        switch self {
        case .sweep: .heat
        case .sweepLRU: .lru
        case .sweepS3FIFO: .s3fifo
        case .belady, .heat, .lru, .fifo, .s3fifo: nil
        }
    }

    /// An empty cache of `capacity` blocks. `trace` is the future, for Belady; `configuration` tunes heat and sweep,
    /// whose own policy and number of keys do not count.
    public func cache(
        capacity: Int, trace: RequestTrace, _ configuration: SweepRule.Configuration
    ) -> any EvictionPolicy {
        // Twice the blocks there are: no bucket overflows by much.
        let keys = 2 * trace.uniqueBlocks
        if let sweepPolicy {
            var configuration = configuration
            configuration.policy = sweepPolicy
            configuration.keys = keys
            return SweptLog(capacity: capacity, SweepRule(configuration))
        }
        switch self {
        case .belady: return RankedCache(capacity: capacity, .nextUse(RankedCache.nextUses(trace)))
        case .heat: return RankedCache(capacity: capacity, .heat(HeatTable(keys: keys, tau: configuration.tau)))
        case .fifo: return RankedCache(capacity: capacity, .insertion)
        case .s3fifo: return S3FIFOCache(capacity: capacity)
        default: return RankedCache(capacity: capacity, .recency)
        }
    }
}
