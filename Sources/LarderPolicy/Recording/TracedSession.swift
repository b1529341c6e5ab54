/// A session as a trace knows it: what stands for each block of 512 tokens that it holds, and the turn that goes on.
///
/// A block is named by the prefix key of the chunk that its last token is in; without keys by the session that put it, so
/// that a fork shares its parent's names. Names are made by hashing, and none has to be remembered to be given again.
struct TracedSession {
    /// A turn that goes on: when it began, and what has been seen of it.
    struct Turn {
        /// Milliseconds since the recording began.
        let timestamp: UInt64
        /// The last event in it.
        var changed: UInt64
        /// It had a resume: the next one is another turn's.
        var isResumed: Bool
    }

    private static let blockTokens = RequestTrace.blockTokens

    /// Names the blocks that have no key; another after each edit of what was there.
    private var seed: UInt64
    /// What stands for each whole block.
    private(set) var blocks: [UInt64] = []
    /// Tokens.
    private(set) var length: UInt64 = 0
    /// The key of the chunk at the very end, if it has one and ends within a block.
    private var tailKey: UInt64 = 0
    /// The component whose chunks are followed: the first that was seen.
    private var component: UInt16 = .max
    /// How far it could be restored when a worker last asked.
    private var restorable: UInt64 = 0
    var turn: Turn?

    init(session: UInt64) { seed = Self.mix(0x5E55_1011, session) }

    /// A session that shares `parent`'s past.
    init(session: UInt64, parent: TracedSession, offset: UInt64) {
        self.init(session: session)
        let shared = min(offset, parent.length)
        blocks = Array(parent.blocks.prefix(Int(shared / Self.blockTokens)))
        component = parent.component
        length = UInt64(blocks.count) * Self.blockTokens
        // What the last block holds of the parent's is known by the parent's name, as far as it goes.
        if shared > length {
            tailKey = Self.mix(parent.seed, shared)
            length = shared
        }
    }

    /// A chunk was stored.
    mutating func put(_ chunk: TracedChunk) {
        guard chunk.tokens > 0, chunk.component <= component else { return }
        component = chunk.component
        let first = Int(chunk.offset / Self.blockTokens)
        let whole = Int(chunk.end / Self.blockTokens)
        // What lies between is not known: as if it were this session's own.
        while blocks.count < min(first, Int(Limits.blocks)) { blocks.append(Self.mix(seed, UInt64(blocks.count))) }
        for block in first..<max(first, min(whole, Int(Limits.blocks))) {
            let name = Self.mix(chunk.key == 0 ? seed : chunk.key, UInt64(block))
            if block == blocks.count { blocks.append(name) } else if chunk.key != 0 { blocks[block] = name }
        }
        if chunk.end > length {
            length = chunk.end
            tailKey = chunk.key
        }
    }

    mutating func resume(offset: UInt64) { restorable = offset }

    /// What lies behind `offset` is gone. Cutting what could not be restored anyway is no edit: what is put there again
    /// is, as far as one can tell, what was there.
    mutating func truncate(to offset: UInt64) {
        guard offset < length else { return }
        if offset < restorable {
            seed = Self.mix(seed, offset)
            restorable = offset
        }
        length = offset
        tailKey = 0
        blocks.removeSubrange(min(blocks.count, Int(offset / Self.blockTokens))...)
    }

    /// The request that a turn was; nil if the session holds nothing.
    func request(timestamp: UInt64) -> RequestTrace.Request? {
        guard length > 0 else { return nil }
        let count = min(Int((length + Self.blockTokens - 1) / Self.blockTokens), Int(Limits.blocks))
        var names: [UInt64] = []
        names.reserveCapacity(count)
        // Chained, so that equal ids never follow different prefixes; below 2^53, so that every reader of JSON keeps them.
        var chain: UInt64 = 1
        for block in 0..<count {
            let isWhole = block < blocks.count
            chain = Self.mix(chain, isWhole ? blocks[block] : Self.mix(tailKey == 0 ? seed : tailKey, length))
            names.append(chain >> 11)
        }
        return RequestTrace.Request(
            timestamp: timestamp, length: min(length, UInt64(count) * Self.blockTokens), outputLength: 0, blocks: names)
    }

    /// Bounds of the recording.
    enum Limits {
        /// Blocks of one session: 16 M tokens.
        static let blocks: UInt64 = 1 << 15
    }

    /// A number that two numbers make: SplitMix64's finalizer over both.
    static func mix(_ one: UInt64, _ other: UInt64) -> UInt64 {
        var value = one &* 0x9E37_79B9_7F4A_7C15 ^ other &+ 0xD1B5_4A32_D192_ED03
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
