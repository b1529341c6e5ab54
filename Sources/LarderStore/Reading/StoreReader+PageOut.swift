import LarderCodec
import LarderModel

extension StoreReader {
    /// Checks one item of a page-out against its session's model, and finds out whether it is stored already.
    func plan(_ item: PageOutItem) throws(LarderError) -> PlannedChunk {
        let context = try context(item.session)
        let (model, component) = try context.component(rank: item.rank, item.component)
        let key = try checkedKey(item, component, pageTokens: model.declaration.pageTokens)
        let shape = ChunkShape(component, tokens: item.tokens)
        guard item.bytes.count == shape.rawBytes else {
            throw LarderError(
                .wrongLength,
                "the chunk at \(item.offset) of component '\(component.name)' has \(item.bytes.count) bytes; "
                    + "\(item.tokens) tokens of it take \(shape.rawBytes)"
            )
        }
        let stored = try identicalRecord(key, shape, item, component, shard: context.shard)
        return PlannedChunk(
            key: key, component: component, modelID: model.id, shape: shape, raw: item.bytes, stored: stored)
    }

    private func checkedKey(_ item: PageOutItem, _ component: Component, pageTokens: UInt32) throws(LarderError)
        -> ChunkKey
    {
        let label = "the chunk at \(item.offset) of component '\(component.name)'"
        guard item.offset < Limits.offsetTokens, item.offset + UInt64(item.tokens) < Limits.offsetTokens else {
            throw LarderError(.invalidArgument, "\(label) reaches beyond offset \(Limits.offsetTokens)")
        }
        if component.kind == .recurrent {
            guard item.tokens == 0 else {
                throw LarderError(
                    .invalidArgument,
                    "\(label) is a recurrent state, valid at one offset; give it 0 tokens, not \(item.tokens)")
            }
        } else {
            guard (1...Limits.tokensPerChunk).contains(item.tokens) else {
                throw LarderError(
                    .invalidArgument, "\(label) has \(item.tokens) tokens; give 1 to \(Limits.tokensPerChunk)")
            }
            guard item.offset % UInt64(pageTokens) == 0 else {
                throw LarderError(
                    .unaligned, "\(label) does not start on a page of \(pageTokens) tokens; start it at a multiple")
            }
        }
        guard component.byteCount(tokens: item.tokens) <= Limits.chunkBytes else {
            throw LarderError(
                .wrongLength,
                "\(label) would have \(component.byteCount(tokens: item.tokens)) bytes; put fewer tokens, at most "
                    + "\(Limits.chunkBytes) bytes a chunk"
            )
        }
        return ChunkKey(session: item.session, rank: item.rank, component: UInt8(item.component), offset: item.offset)
    }

    /// The record of these very bytes at this very place, if they are stored. Throws `conflict` for other bytes.
    private func identicalRecord(
        _ key: ChunkKey, _ shape: ChunkShape, _ item: PageOutItem, _ component: Component, shard: Int
    ) throws(LarderError) -> ChunkRecord? {
        try read(shard: shard) { transaction, shard in
            guard let record = try record(key, transaction, shard), record.tokens == shape.tokens else { return nil }
            let label = "the chunk at \(key.offset) of component '\(component.name)'"
            let remedy = "truncate the session at \(key.offset) to replace it"
            do {
                guard let bytes = try blob(record.blobID, transaction, shard) else {
                    throw ChunkDamage.length(expected: Int(record.storedBytes), found: 0)
                }
                let stored = try StoredChunk(bytes, blobID: record.blobID)
                let isEqual = try store.team.withScratch { scratch throws(ChunkDamage) in
                    try ChunkComparison.isEqual(stored, to: item.bytes, scratch: scratch)
                }
                guard isEqual else {
                    throw LarderError(.conflict, "\(label) is stored with other bytes; \(remedy)")
                }
            } catch let damage as ChunkDamage {
                store.reportDamage(key, damage.description)
                throw LarderError(.damaged, "\(label) is damaged (\(damage)); \(remedy)")
            }
            return record
        }
    }
}
