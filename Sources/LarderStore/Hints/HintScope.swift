import LarderLMDB
import LarderModel

/// What of the store a hint covers, and what kept it from covering more.
struct HintScope {
    /// A chunk that is covered: of a session, or found by a prefix key.
    struct Chunk {
        let shard: Int
        let blobID: UInt64
        /// The line that holds it; 0 for one found by a key.
        let line: UInt64
        let heatKey: UInt64
        /// Tokens that it is about, or the number of its key: a recurrent state is about the token before it.
        let start: UInt64
        let end: UInt64
        let bytes: Int
        let isShared: Bool
    }

    let owner: RetentionTable.Owner
    let namespaceID: UInt32
    let from: UInt64
    /// Where what is covered ends.
    private(set) var to: UInt64
    /// In order of end.
    private(set) var chunks: [Chunk]
    private(set) var bound = HintBound.none
    private(set) var reason = ""

    init(owner: RetentionTable.Owner, namespaceID: UInt32, from: UInt64, to: UInt64, chunks: [Chunk]) {
        self.owner = owner
        self.namespaceID = namespaceID
        self.from = from
        self.to = to
        self.chunks = chunks
    }

    /// Notes what keeps the hint from being done as asked.
    mutating func note(_ bound: HintBound, _ reason: String) {
        self.bound = bound
        self.reason = reason
    }

    /// Lets go of the chunks that are not among the first `count` of a shard, and of what lies behind the first of them.
    mutating func keep(first count: Int, ofShard shard: Int, _ bound: HintBound, _ reason: String) {
        let own = chunks.filter { $0.shard == shard }
        guard count < own.count else { return }
        to = max(from, min(to, own[count].start))
        chunks.removeAll { $0.end > to }
        note(bound, reason)
    }

    /// Lets go of single chunks.
    mutating func keep(where isKept: (Chunk) -> Bool) { chunks.removeAll { !isKept($0) } }

    /// The covered chunks of each shard.
    var byShard: [(shard: Int, chunks: [Chunk])] {
        Dictionary(grouping: chunks, by: \.shard).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// What is said of a hint that was done for what is covered.
    func result(seconds: UInt32 = 0) -> HintResult {
        if chunks.isEmpty && bound != .none {
            return HintResult(.rejected, bound, from: from, to: from, reason: reason)
        }
        return HintResult(
            bound == .none ? .accepted : .clipped, bound, from: from, to: to, seconds: seconds, reason: reason)
    }
}

extension StoreReader {
    /// The chunks of a session that begin in a range of tokens, and the recurrent states after them, up to a number of
    /// chunks. Throws `miss` if there are none, `invalidArgument` for an empty range.
    func scope(session: UInt64, from: UInt64, to: UInt64, limit: Int) throws(LarderError) -> HintScope {
        try requireRange(from, to)
        let context = try context(session)
        let share = max(1, limit / max(1, context.tracks.count))
        var bound = to
        var found: [HintScope.Chunk] = []
        for track in context.tracks {
            var count = 0
            let start = track.isState ? from + 1 : from
            _ = try read(shard: context.shard) { transaction, shard in
                try context.path.walk(track, from: start, transaction, shard, damaged: { _ in }) { key, record in
                    let chunk = HintScope.Chunk(key, record, shard: context.shard)
                    guard chunk.start < bound else { return false }
                    if count == share {
                        bound = chunk.start
                        return false
                    }
                    count += 1
                    found.append(chunk)
                    return true
                }
            }
        }
        found.removeAll { $0.start >= bound }
        found.sort { ($0.end, $0.start) < ($1.end, $1.start) }
        guard let end = found.last?.end else {
            throw LarderError(.miss, "session '\(context.record.name.clipped)' has nothing stored at \(from) or beyond")
        }
        var scope = HintScope(
            owner: .session(session), namespaceID: context.record.namespaceID, from: from, to: min(bound, end),
            chunks: found)
        if bound < to {
            scope.note(.count, "a hint covers at most \(limit) chunks; send further ones for what lies beyond \(bound)")
        } else if end < to, to < .max {
            scope.note(.stored, "nothing is stored beyond \(end)")
        }
        return scope
    }

    /// The chunks that prefix keys name, in every shard, up to the first key that none knows.
    func scope(
        namespace name: String, modelID: UInt32, component: UInt16, keys: [PrefixKey]
    ) throws(LarderError) -> HintScope {
        try requireKeys(keys)
        guard let space = namespace(named: name) else {
            throw LarderError(.miss, "there is no namespace '\(name.clipped)'")
        }
        var found: [HintScope.Chunk] = []
        var count = 0
        try holdingSnapshots { () throws(LarderError) in
            for (index, named) in keys.enumerated() {
                let place = try space.place(named, modelID: modelID, component: component)
                let before = found.count
                for shard in store.shards.indices {
                    let record = try read(shard: shard) { try PrefixRecord.find(place, $0, $1) }
                    guard let record else { continue }
                    found.append(HintScope.Chunk(record, place, number: UInt64(index), shard: shard))
                }
                if found.count == before { return }
                count += 1
            }
        }
        guard count > 0 else { throw LarderError(.miss, "the first of the prefix keys is not known") }
        var scope = HintScope(owner: .keys, namespaceID: space.id, from: 0, to: UInt64(count), chunks: found)
        if count < keys.count { scope.note(.stored, "prefix key \(count) is not known") }
        return scope
    }

    /// Throws `invalidArgument` for an empty or reversed range.
    func requireRange(_ from: UInt64, _ to: UInt64) throws(LarderError) {
        guard from < to, from < Limits.offsetTokens else {
            throw LarderError(
                .invalidArgument, "the range \(from)..<\(to) has no tokens; give one that begins before it ends")
        }
    }

    /// Throws `invalidArgument` for no keys, or too many.
    func requireKeys(_ keys: [PrefixKey]) throws(LarderError) {
        guard (1...Limits.batchItems).contains(keys.count) else {
            throw LarderError(
                .invalidArgument, "a hint with \(keys.count) prefix keys; give 1 to \(Limits.batchItems)")
        }
    }
}

extension StoredNamespace {
    /// Where a key stands in this namespace. Throws `forbidden` if it shares nothing.
    func place(_ named: PrefixKey, modelID: UInt32, component: UInt16) throws(LarderError) -> PrefixPlace {
        guard let key = storedKey(named) else {
            throw LarderError(
                .forbidden,
                "namespace '\(name.clipped)' shares nothing, by its policy; its owner may set sharing on")
        }
        guard let component = UInt8(exactly: component) else {
            throw LarderError(.unknownComponent, "no model has a component \(component)")
        }
        return PrefixPlace(namespaceID: id, modelID: modelID, component: component, key: key)
    }
}

extension HintScope.Chunk {
    init(_ key: ChunkKey, _ record: ChunkRecord, shard: Int) {
        let end = key.offset + UInt64(record.tokens)
        self.init(
            shard: shard, blobID: record.blobID, line: key.line, heatKey: record.heatKey,
            start: record.tokens > 0 ? key.offset : max(1, key.offset) - 1, end: end, bytes: Int(record.storedBytes),
            isShared: record.isShared)
    }

    init(_ record: PrefixRecord, _ place: PrefixPlace, number: UInt64, shard: Int) {
        self.init(
            shard: shard, blobID: record.blobID, line: 0, heatKey: place.heatKey, start: number, end: number + 1,
            bytes: Int(record.storedBytes), isShared: true)
    }
}
