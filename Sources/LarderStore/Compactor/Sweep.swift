import LarderCodec
import LarderLMDB
import LarderModel
import LarderSystem

// The sweep frees a shard's log from its oldest end, because LMDB gets long runs of free pages from that, and rewrites what
// is worth keeping at the young end. What goes: first what has expired, what no resume point can use, then what is cold.
struct Sweep {
    /// How the sweep treats what is worth keeping.
    enum Manner {
        /// Rewrites it at the young end.
        case paced
        /// Steps over it, from a place of the log on: for a page-out that finds no room. Without sparing, what is hot goes
        /// as well.
        case urgent(from: UInt64, sparesHot: Bool)
    }

    /// What a step did.
    struct Outcome {
        var freedBytes = 0
        var movedBytes = 0
        var moved = 0
        /// Chunks evicted, by rule.
        var evicted: [EvictionRule: Int] = [:]
        /// Blobs that no chunk was.
        var orphans = 0
        /// Where an urgent sweep goes on.
        var next: UInt64 = 0
        /// True if there was nothing more to look at.
        var isAtEnd = false

        var didNothing: Bool { freedBytes == 0 && moved == 0 && evicted.isEmpty && orphans == 0 }
    }

    private enum Verdict {
        case stays
        /// A chunk that is the blob has a damaged record, or is another's now.
        case lost(ChunkKey)
        case goes(EvictionRule)
    }

    private let manner: Manner
    /// Bytes to free.
    private let wanted: Int
    /// Bytes that may be rewritten.
    private let movable: Int
    /// Lines of which nothing goes that starts below an offset.
    private var exempt: [UInt64: UInt64] = [:]
    private let only: UInt32?
    private let seconds = Clock.wallSeconds()
    private var biases: [UInt32: Double] = [:]
    private var outcome = Outcome()

    /// A step that frees `bytes`, or less where it meets its limits.
    ///
    /// - Parameters:
    ///   - growing: sessions of whose past nothing goes.
    ///   - only: a namespace that is above its quota, and whose state alone goes.
    static func step(
        _ context: inout WriteContext, bytes: Int, _ manner: Manner, growing: Set<UInt64>, only: UInt32? = nil
    ) throws -> Outcome {
        // What is rewritten takes pages before those that it leaves can be used.
        let free = max(0, context.shard.mapPages - context.usedPages) * 4_096
        let movable = if case .urgent = manner { Int.max } else { min(free / 4, context.shard.batchBytes) }
        var sweep = Sweep(manner: manner, wanted: bytes, movable: movable, only: only)
        for session in growing { try sweep.exempt(session, context) }
        try sweep.run(&context)
        return sweep.outcome
    }

    private init(manner: Manner, wanted: Int, movable: Int, only: UInt32?) {
        self.only = only
        self.manner = manner
        self.wanted = wanted
        self.movable = movable
        if case .urgent(let place, _) = manner { outcome.next = place }
    }

    private mutating func exempt(_ session: UInt64, _ context: borrowing WriteContext) throws {
        guard let record = try? context.session(session) else { return }
        let path = try LinePath(head: record.head, context.transaction, context.shard)
        for segment in path.segments.prefix(Limits.holeDepth) {
            exempt[segment.line] = max(exempt[segment.line] ?? 0, segment.view.limit)
        }
    }

    private mutating func run(_ context: inout WriteContext) throws {
        // What this transaction writes is not looked at again in it.
        let young = context.counters.nextBlobID
        var evictions = 0
        for _ in 0..<Limits.blobsPerSweep {
            guard outcome.freedBytes < wanted, outcome.movedBytes < movable, evictions < Limits.evictionsPerSweep else {
                return
            }
            guard let (place, bytes) = try BlobLog.oldest(from: outcome.next, context.transaction, context.shard),
                place < young
            else {
                outcome.isAtEnd = true
                return
            }
            let count = bytes.count
            let id = try identity(of: bytes, at: place, context)
            switch try verdict(id, context) {
            case nil:
                outcome.orphans += 1
                _ = try context.delete(place: place)
                if id != place {
                    _ = try WordKey(id).withBytes { try context.transaction.delete(context.shard.databases.moved, $0) }
                }
                outcome.freedBytes += count
            case .lost(let owner):
                evictions += 1
                outcome.orphans += 1
                try context.disownLost(BlobOwner(id, owner))
            case .stays: try keep(id, place, count, &context)
            case .goes(let rule):
                let budget = Limits.evictionsPerSweep - evictions
                let result = try evict(id, rule, limit: budget, &context)
                evictions += max(1, result.evicted)
                if result.mustStay { try keep(id, place, count, &context) }
            }
        }
    }

    /// The id of the blob at a place of the log. The header's word for it is believed only where the store says the same:
    /// it may be damaged.
    private func identity(
        of bytes: UnsafeRawBufferPointer, at place: UInt64, _ context: borrowing WriteContext
    ) throws -> UInt64 {
        guard let named = StoredChunk.identity(of: bytes), named != place,
            try BlobLog.owners(of: place, limit: 1, context.transaction, context.shard).isEmpty,
            (try? BlobLog.place(of: named, context.transaction, context.shard)) == place
        else { return place }
        return named
    }

    private mutating func keep(_ id: UInt64, _ place: UInt64, _ count: Int, _ context: inout WriteContext) throws {
        guard case .paced = manner else {
            outcome.next = place + 1
            return
        }
        try context.move(blob: id, from: place)
        outcome.moved += 1
        outcome.movedBytes += count
    }

    /// Evicts the chunk, or one of the chunks, that a blob is, with what lies behind it.
    private mutating func evict(
        _ id: UInt64, _ rule: EvictionRule, limit: Int, _ context: inout WriteContext
    ) throws -> WriteContext.TailEviction {
        let owners = try BlobLog.owners(of: id, limit: 1, context.transaction, context.shard)
        let shard = context.shard
        let sparesHot = (rule == .cold || rule == .quota) && sparesHot
        let line = (try? context.line(owners[0].line)) ?? nil
        let bias = line.map { self.bias($0.namespaceID, shard) } ?? 0
        let result = try context.evictTail(
            from: BlobOwner(id, owners[0]), bytes: wanted - outcome.freedBytes, limit: limit, rule: rule
        ) { behind in
            guard sparesHot else { return false }
            let lastUse = shard.heat.lastUse(of: [(behind.key.line, behind.key.offset)])
            return shard.heat.keeps(behind.record.heatKey, lastUse: lastUse, bias: bias)
                || shard.retentions.keeps([behind])
        }
        outcome.freedBytes += result.freedBytes
        outcome.evicted[rule, default: 0] += result.evicted
        return result
    }

    /// ``Quotas/bias(_:)``, asked once a step.
    private mutating func bias(_ namespaceID: UInt32, _ shard: Shard) -> Double {
        if let known = biases[namespaceID] { return known }
        let bias = shard.quotas.bias(namespaceID)
        biases[namespaceID] = bias
        return bias
    }

    private var sparesHot: Bool { if case .urgent(_, let spares) = manner { spares } else { true } }

    /// What is to become of a blob; nil if no chunk is it.
    private mutating func verdict(_ id: UInt64, _ context: borrowing WriteContext) throws -> Verdict? {
        let shard = context.shard
        let owners = try BlobLog.owners(of: id, limit: Limits.ownersPerBlob, context.transaction, shard)
        if owners.isEmpty { return nil }
        if shard.leases.isLeased(LeaseTable.Blob(shard: shard.index, id: id)) { return .stays }
        if let only, let line = (try? context.line(owners[0].line)) ?? nil, line.namespaceID != only { return .stays }
        var chunks: [(key: ChunkKey, record: ChunkRecord, line: LineRecord)] = []
        for key in owners {
            guard let record = try context.chunk(key), record.blobID == id, let line = try? context.line(key.line)
            else { return .lost(key) }
            if key.offset < exempt[key.line] ?? 0 { return .stays }
            chunks.append((key, record, line))
        }
        if chunks.allSatisfy({ context.isExpired($0.key.line, $0.line, at: seconds) }) { return .goes(.expired) }
        if try chunks.allSatisfy({ try context.isUseless($0.key, $0.record, $0.line) }) { return .goes(.useless) }
        let namespaceID = chunks[0].line.namespaceID
        if only != nil {
            let isHot = sparesHot && shard.heat.keeps(chunks[0].record.heatKey)
            return isHot ? .stays : .goes(.quota)
        }
        if shard.quotas.isReserved(namespaceID, change: context.usage.changes[namespaceID]?.bytes ?? 0) {
            return .stays
        }
        if !sparesHot { return .goes(.cold) }
        if shard.retentions.keeps(chunks.lazy.map { ($0.key, $0.record) }) { return .stays }
        let heat = shard.heat
        let lastUse = heat.lastUse(of: chunks.map { ($0.key.line, $0.key.offset) })
        let bias = self.bias(namespaceID, shard)
        guard heat.keeps(chunks[0].record.heatKey, lastUse: lastUse, bias: bias) else { return .goes(.cold) }
        heat.moved(chunks[0].record.heatKey)
        return .stays
    }
}
