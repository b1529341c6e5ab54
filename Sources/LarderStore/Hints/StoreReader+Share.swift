import LarderCodec
import LarderLMDB
import LarderModel

// Share, in vLLM's RFC 51428, is to make state available to another worker without recomputing it. All workers of a machine
// have this store in common already; what another one lacks is a way to find the state by what is in it. So a share names
// the chunks of a session by prefix keys, as a put with keys does, after the fact.
extension StoreReader {
    /// Names the chunks of one component of a session, from `from` on and without a gap, by prefix keys: one each.
    ///
    /// Of a recurrent component it names one state, at the range's end. A chunk that has its key already, or whose key names
    /// the same bytes elsewhere, is left as it is.
    func share(
        session: UInt64, from: UInt64, to: UInt64, rank: UInt16, component index: UInt16, keys: [PrefixKey]
    ) throws(LarderError) -> HintResult {
        try requireRange(from, to)
        try requireKeys(keys)
        let context = try context(session)
        let (model, component) = try context.component(rank: rank, index)
        guard let space = store.catalog.namespace(context.record.namespaceID) else {
            throw LarderError.unknown(session: session)
        }
        let chunks = try shareable(context, rank, index, component, from, to, count: keys.count)
        guard let last = chunks.last else {
            throw LarderError(
                .miss, "session '\(context.record.name.clipped)' has no chunk of '\(component.name)' at \(from)")
        }
        var namings: [ShareMutation.Naming] = []
        var places: Set<PrefixPlace> = []
        try holdingSnapshots { () throws(LarderError) in
            for ((key, record), named) in zip(chunks, keys) {
                let place = try space.place(named, modelID: model.id, component: index)
                guard places.insert(place).inserted else {
                    throw LarderError(.conflict, "two chunks have one prefix key; give each its own")
                }
                let known = try knownBlob(place, record, key, context.shard)
                namings.append(
                    ShareMutation.Naming(chunk: key, blobID: record.blobID, place: place, known: known))
            }
        }
        try store.writers[context.shard].perform(ShareMutation(namings))
        let end = last.key.offset + UInt64(last.record.tokens)
        guard chunks.count < keys.count else { return HintResult(.accepted, from: from, to: end) }
        return HintResult(
            .clipped, .stored, from: from, to: end,
            reason: "\(chunks.count) of \(keys.count) keys were used: no chunk of '\(component.name)' follows at \(end)"
        )
    }

    /// The chunks that keys are for: one after another from the range's start on.
    private func shareable(
        _ context: SessionContext, _ rank: UInt16, _ index: UInt16, _ component: Component, _ from: UInt64,
        _ to: UInt64,
        count: Int
    ) throws(LarderError) -> [(key: ChunkKey, record: ChunkRecord)] {
        let track = LinePath.Track(
            rank: rank, component: UInt8(index), isState: component.kind == .recurrent)
        if track.isState {
            guard count == 1, to < Limits.offsetTokens else {
                throw LarderError(
                    .invalidArgument,
                    "'\(component.name)' is recurrent: share one state, at the end of the range, with one key")
            }
            let found = try read(shard: context.shard) { try context.path.find(track, to, $0, $1) }
            return found.map { [$0] } ?? []
        }
        var chunks: [(key: ChunkKey, record: ChunkRecord)] = []
        var next = from
        _ = try read(shard: context.shard) { transaction, shard in
            try context.path.walk(track, from: from, transaction, shard, damaged: { _ in }) { key, record in
                guard key.offset == next, key.offset < to, chunks.count < count else { return false }
                chunks.append((key, record))
                next = key.offset + UInt64(record.tokens)
                return true
            }
        }
        return chunks
    }

    /// The blob of the same shard that a key names; nil if there is none. Throws `conflict` if the key names other bytes, in
    /// whatever shard.
    private func knownBlob(
        _ place: PrefixPlace, _ chunk: ChunkRecord, _ key: ChunkKey, _ home: Int
    ) throws(LarderError) -> UInt64? {
        var known: UInt64?
        for index in store.shards.indices {
            guard let record = try read(shard: index, { try PrefixRecord.find(place, $0, $1) }) else { continue }
            if index == home { known = record.blobID }
            if index == home, record.blobID == chunk.blobID { continue }
            guard try isSame(record.blobID, index, chunk.blobID, home) else {
                throw LarderError(
                    .conflict,
                    "the prefix key of the chunk at \(key.offset) names a chunk with other bytes; give it another key")
            }
        }
        return known
    }

    /// True if two blobs hold the same raw bytes. Called while snapshots are held.
    private func isSame(
        _ one: UInt64, _ oneShard: Int, _ other: UInt64, _ otherShard: Int
    ) throws(LarderError) -> Bool {
        func stored(_ id: UInt64, _ shard: Int) throws(LarderError) -> ChunkComparison.Stored {
            let found = try read(shard: shard) { try BlobLog.find(id, $0, $1) }
            guard let found else { throw LarderError(.damaged, "blob \(id) is gone; run larderctl verify") }
            return (found, id)
        }
        let (first, second) = (try stored(one, oneShard), try stored(other, otherShard))
        do throws(ChunkDamage) {
            return try store.team.withScratch { scratch throws(ChunkDamage) in
                try ChunkComparison.areEqual(first, second, scratch: scratch)
            }
        } catch { throw LarderError(.damaged, "a chunk that was to be shared is damaged (\(error))") }
    }
}
