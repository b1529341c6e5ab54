import LarderCodec
import LarderModel

extension StoreReader {
    /// Checks one item of a page-out against its session's model, and finds out whether it is stored already.
    func plan(_ item: PageOutItem) throws(LarderError) -> PlannedChunk {
        let context = try context(item.session)
        try context.requireWrite()
        let (model, component) = try context.component(rank: item.rank, item.component)
        try check(item, component, pageTokens: model.declaration.pageTokens)
        let shape = ChunkShape(component, tokens: item.tokens)
        if let bytes = item.bytes, bytes.count != shape.rawBytes {
            throw LarderError(
                .wrongLength,
                "the chunk at \(item.offset) of component '\(component.name)' has \(bytes.count) bytes; "
                    + "\(item.tokens) tokens of it take \(shape.rawBytes)"
            )
        }
        // Where the namespace shares nothing, a chunk with a key is stored like one without.
        let namespace = store.catalog.namespace(context.record.namespaceID)
        let prefix = item.prefixKey.flatMap { namespace?.storedKey($0) }.map {
            PrefixPlace(
                namespaceID: context.record.namespaceID, modelID: model.id, component: UInt8(item.component), key: $0)
        }
        let source = try source(item, shape, component, context, prefix)
        if case .bytes = source {
            let heatKey =
                prefix?.heatKey
                ?? HeatKey.of(
                    session: item.session, rank: item.rank, component: UInt8(item.component), offset: item.offset)
            try admit(heatKey, namespace, shard: context.shard)
        }
        return PlannedChunk(
            session: item.session, rank: item.rank, componentIndex: UInt8(item.component), offset: item.offset,
            component: component, modelID: model.id, namespaceID: context.record.namespaceID, turn: turn,
            countsTokens: model.declaration.countingComponent == Int(item.component), shape: shape,
            source: source, prefix: prefix)
    }

    /// Throws `declined` for a chunk that is not to be taken in now: the first time, where the namespace admits what is put a
    /// second time; and any, while the day's budget of writes is used up.
    private func admit(_ heatKey: UInt64, _ namespace: StoredNamespace?, shard: Int) throws(LarderError) {
        let heat = store.shards[shard].heat
        if store.housekeeper.isBudgetSpent {
            heat.noteDeclined(heatKey)
            throw LarderError(
                .declined,
                "the budget of \(store.configuration.wearBudget) bytes written a day is used up for now; put the chunk later, "
                    + "or raise wear_budget")
        }
        if namespace?.policy.admission == .secondTouch, !heat.knows(heatKey) {
            heat.noteDeclined(heatKey)
            throw LarderError(
                .declined,
                "the namespace takes in what is put for a second time; put the chunk again when it is next computed")
        }
    }

    /// Where the chunk's bytes are: at its place, under its prefix key, or with the worker.
    private func source(
        _ item: PageOutItem, _ shape: ChunkShape, _ component: Component, _ context: SessionContext,
        _ prefix: PrefixPlace?
    ) throws(LarderError) -> ChunkSource {
        if let bytes = item.bytes {
            if let stored = try identicalRecord(item, bytes, shape, component, context) { return .stored(stored) }
            if let prefix, let shared = try shared(prefix, shape, bytes, item, component, context) {
                return .shared(shared)
            }
            return .bytes(bytes)
        }
        guard item.prefixKey != nil else {
            throw LarderError(
                .malformed, "the chunk at \(item.offset) of component '\(component.name)' has neither bytes nor a key")
        }
        if let prefix {
            if let shared = try shared(prefix, shape, nil, item, component, context) { return .shared(shared) }
            for shard in store.shards.indices where shard != context.shard {
                if let copy = try copy(prefix, shape, shard: shard) { return .copy(copy) }
            }
        }
        throw LarderError(
            .miss,
            "the prefix key of the chunk at \(item.offset) of component '\(component.name)' is not known; put it with "
                + "its bytes")
    }

    /// The chunk under a prefix key in the session's shard. Throws `conflict` if it has other bytes than these.
    private func shared(
        _ prefix: PrefixPlace, _ shape: ChunkShape, _ bytes: UnsafeRawBufferPointer?, _ item: PageOutItem,
        _ component: Component, _ context: SessionContext
    ) throws(LarderError) -> PrefixRecord? {
        try read(shard: context.shard) { transaction, shard in
            guard let record = try PrefixRecord.find(prefix, transaction, shard) else { return nil }
            let label = "the chunk at \(item.offset) of component '\(component.name)'"
            let collision = LarderError(
                .conflict, "\(label) has the prefix key of a stored chunk with other bytes; put it without a key")
            guard record.tokens == shape.tokens else { throw collision }
            do {
                guard let found = try blob(record.blobID, transaction, shard) else {
                    throw ChunkDamage.length(expected: Int(record.storedBytes), found: 0)
                }
                let stored = try StoredChunk(found, blobID: record.blobID)
                guard stored.shape == shape else { throw collision }
                guard let bytes else { return record }
                let isEqual = try store.team.withScratch { scratch throws(ChunkDamage) in
                    try ChunkComparison.isEqual(stored, to: bytes, scratch: scratch)
                }
                guard isEqual else { throw collision }
                return record
            } catch let damage as ChunkDamage {
                throw LarderError(
                    .damaged, "the chunk stored under the prefix key of \(label) is damaged (\(damage)); put it without"
                )
            }
        }
    }

    /// A copy of the chunk under a prefix key in another shard.
    private func copy(_ prefix: PrefixPlace, _ shape: ChunkShape, shard: Int) throws(LarderError) -> EncodedChunk? {
        try read(shard: shard) { transaction, shard in
            guard let record = try PrefixRecord.find(prefix, transaction, shard),
                let found = try blob(record.blobID, transaction, shard),
                let stored = try? StoredChunk(found, blobID: record.blobID), stored.shape == shape
            else { return nil }
            return try? EncodedChunk(copying: stored)
        }
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
        _ item: PageOutItem, _ raw: UnsafeRawBufferPointer, _ shape: ChunkShape, _ component: Component,
        _ context: SessionContext
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
                    try ChunkComparison.isEqual(stored, to: raw, scratch: scratch)
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
