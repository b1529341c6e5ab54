import LarderCodec
import LarderModel

extension StoreReader {
    /// Checks one item of a page-out against its session's model, and finds out whether it is stored already.
    func plan(_ item: PageOutItem) throws(LarderError) -> PlannedChunk {
        let context = try context(item.session)
        let (model, component) = try context.component(rank: item.rank, item.component)
        try check(item, component, pageTokens: model.declaration.pageTokens)
        let shape = ChunkShape(component, tokens: item.tokens)
        guard item.bytes.count == shape.rawBytes else {
            throw LarderError(
                .wrongLength,
                "the chunk at \(item.offset) of component '\(component.name)' has \(item.bytes.count) bytes; "
                    + "\(item.tokens) tokens of it take \(shape.rawBytes)"
            )
        }
        let stored = try identicalRecord(item, shape, component, context)
        return PlannedChunk(
            session: item.session, rank: item.rank, componentIndex: UInt8(item.component), offset: item.offset,
            component: component, modelID: model.id, shape: shape, raw: item.bytes, stored: stored)
    }

    private func check(_ item: PageOutItem, _ component: Component, pageTokens: UInt32) throws(LarderError) {
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
    }

    /// The record of these very bytes at this very place, if they are stored. Throws `conflict` for other bytes.
    private func identicalRecord(
        _ item: PageOutItem, _ shape: ChunkShape, _ component: Component, _ context: SessionContext
    ) throws(LarderError) -> ChunkRecord? {
        let track = LinePath.Track(
            rank: item.rank, component: UInt8(item.component), isState: component.kind == .recurrent)
        return try read(shard: context.shard) { transaction, shard in
            guard let (key, record) = try context.path.find(track, item.offset, transaction, shard),
                record.tokens == shape.tokens
            else { return nil }
            let label = "the chunk at \(item.offset) of component '\(component.name)'"
            let remedy = "truncate the session at \(item.offset) to replace it"
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
                store.reportDamage(key, session: item.session, damage.description)
                throw LarderError(.damaged, "\(label) is damaged (\(damage)); \(remedy)")
            }
            return record
        }
    }
}
