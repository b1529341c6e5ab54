import Glibc
import LarderCodec
import LarderModel

extension StoreReader {
    /// Checks one item of a page-out against its session's model, and encodes it, or finds that it is stored already.
    func prepare(_ item: PageOutItem, encoding: EncodingChoice) throws(LarderError) -> PreparedChunk {
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
        if let stored = try identicalRecord(key, shape, item, component, shard: context.shard) {
            return PreparedChunk(key: key, component: component, modelID: model.id, shape: shape, stored: stored)
        }
        return try encode(item, key, component, model, shape, encoding)
    }

    private func encode(
        _ item: PageOutItem, _ key: ChunkKey, _ component: Component, _ model: StoredModel, _ shape: ChunkShape,
        _ encoding: EncodingChoice
    ) throws(LarderError) -> PreparedChunk {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: ChunkEncoder.bound(shape), alignment: 64)
        let count = ChunkEncoder.encode(item.bytes, shape: shape, choice: encoding, into: room, scratch: scratch)
        // The bound is what incompressible bytes take: give the rest back.
        guard let shrunk = realloc(room.baseAddress, count) else {
            room.deallocate()
            throw LarderError(.internal, "no memory to encode a chunk of \(shape.rawBytes) bytes")
        }
        let bytes = UnsafeMutableRawBufferPointer(start: shrunk, count: count)
        ChunkHeader.stamp(shrunk, blocks: shape.blockCount, blobID: 0)
        let sums = (try? StoredChunk(UnsafeRawBufferPointer(bytes), blobID: 0))?.bytesByEncoding() ?? [:]
        let most = sums.max { $0.value.raw < $1.value.raw }?.key ?? .raw
        return PreparedChunk(
            key: key, component: component, modelID: model.id, shape: shape, bytes: bytes, encoding: most)
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
                guard try ChunkComparison.isEqual(stored, to: item.bytes, scratch: scratch) else {
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
