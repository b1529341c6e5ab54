import LarderCodec
import LarderLMDB
import LarderModel

/// A chunk as listings name it.
public struct StoredChunkEntry: Sendable {
    /// Rank in the parallel group.
    public let rank: UInt16
    /// Component index.
    public let component: UInt16
    /// Offset in tokens.
    public let offset: UInt64
    /// Tokens; 0 for a recurrent state.
    public let tokens: UInt32
    /// Raw bytes.
    public let rawBytes: Int
    /// Bytes in the store.
    public let storedBytes: Int
    /// The encoding of most of it.
    public let encoding: Encoding
    /// Seconds since 1970.
    public let createdSeconds: UInt64
    let blobID: UInt64
    let heatKey: UInt64

    init(_ key: ChunkKey, _ record: ChunkRecord) {
        rank = key.rank
        component = UInt16(key.component)
        offset = key.offset
        tokens = record.tokens
        rawBytes = Int(record.rawBytes)
        storedBytes = Int(record.storedBytes)
        encoding = record.encoding
        createdSeconds = record.createdSeconds
        blobID = record.blobID
        heatKey = record.heatKey
    }

    /// First token past the chunk; the offset itself for a recurrent state.
    var end: UInt64 { offset + UInt64(tokens) }
}

/// A session as listings name it.
public struct StoredSession: Sendable {
    /// Session id.
    public let id: UInt64
    /// Its namespace.
    public let namespace: StoredNamespace
    /// Its name.
    public let name: String
    /// Model ids by rank.
    public let models: [(rank: UInt16, modelID: UInt32)]
    /// Chunks, their raw bytes and their stored bytes.
    public let totals: (chunks: UInt64, rawBytes: UInt64, storedBytes: UInt64)
    /// Seconds since 1970.
    public let createdSeconds: UInt64
    /// Seconds since 1970.
    public let changedSeconds: UInt64
    /// Seconds since 1970 of its last use, as far as it is known: its last change, or a later resume or page-in since the
    /// daemon's start.
    public let usedSeconds: UInt64
    /// Seconds since its last use after which its state expires; 0 for what its namespace says.
    public let ttlSeconds: UInt32
}

/// Where a walk over a session's chunks stands.
public struct ChunkPosition: Sendable, Hashable {
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Component index.
    public var component: UInt16
    /// Offset in tokens.
    public var offset: UInt64

    /// A position from its fields.
    public init(rank: UInt16 = 0, component: UInt16 = 0, offset: UInt64 = 0) {
        self.rank = rank
        self.component = component
        self.offset = offset
    }
}

extension StoreReader {
    /// One page of the sessions that the user may see, in order of id, and the id to go on after; 0 at the end.
    public func sessions(namespace: String, after: UInt64) throws(LarderError) -> (
        sessions: [StoredSession], next: UInt64
    ) {
        guard after < .max else { return ([], 0) }
        var found: [StoredSession] = []
        var next: UInt64 = 0
        let wanted = namespace.isEmpty ? nil : self.namespace(named: namespace)
        if !namespace.isEmpty && wanted == nil { return ([], 0) }
        // Ids of different shards interleave: take a page of each, then the first page of them all.
        for shard in store.shards.indices {
            var ofShard = 0
            try read(shard: shard) { transaction, shard in
                try WordKey(after + 1).withBytes { start in
                    try transaction.scan(shard.databases.sessions, from: start) { key, value in
                        // A damaged record hides its session, and no other's.
                        guard let record = try? SessionRecord(value, key: key),
                            let namespace = store.catalog.namespace(record.namespaceID),
                            rights(namespace) > .none, wanted == nil || wanted?.id == namespace.id
                        else { return true }
                        ofShard += 1
                        let own = try own(record, transaction, shard)
                        found.append(Self.session(WordKey.word(key, 0), record, namespace, own, shard))
                        return ofShard <= Limits.pageEntries
                    }
                }
            }
        }
        found.sort { $0.id < $1.id }
        if found.count > Limits.pageEntries {
            found.removeSubrange(Limits.pageEntries...)
            next = found.last!.id
        }
        return (found, next)
    }

    private static func session(
        _ id: UInt64, _ record: SessionRecord, _ namespace: StoredNamespace, _ own: Own, _ shard: Shard
    ) -> StoredSession {
        let changed = max(record.createdSeconds, own.changedSeconds)
        return StoredSession(
            id: id, namespace: namespace, name: record.name, models: record.models,
            totals: (own.chunks, own.rawBytes, own.storedBytes), createdSeconds: record.createdSeconds,
            changedSeconds: changed, usedSeconds: max(changed, shard.heat.knownUseSeconds(of: record.head) ?? 0),
            ttlSeconds: record.ttlSeconds)
    }

    /// One session. Throws `unknownSession` for one that the user may not see, too.
    public func session(_ id: UInt64) throws(LarderError) -> StoredSession {
        let context = try context(id)
        guard let namespace = store.catalog.namespace(context.record.namespaceID) else {
            throw LarderError.unknown(session: id)
        }
        return try read(shard: context.shard) { transaction, shard in
            Self.session(id, context.record, namespace, try own(context.record, transaction, shard), shard)
        }
    }

    private struct Own {
        var chunks: UInt64 = 0
        var rawBytes: UInt64 = 0
        var storedBytes: UInt64 = 0
        var changedSeconds: UInt64 = 0
    }

    /// What only this session sees: its head, and the lines above that have no other child.
    private func own(
        _ session: SessionRecord, _ transaction: borrowing ReadTransaction, _ shard: Shard
    ) throws -> Own {
        var own = Own()
        var line = session.head
        while line != 0 {
            let record = try WordKey(line).withBytes { key in
                try transaction.get(shard.databases.lines, key).map { try? LineRecord($0, key: key) } ?? nil
            }
            guard let record, line == session.head || (record.head == 0 && record.children == 1) else { break }
            own.chunks += record.chunks
            own.rawBytes += record.rawBytes
            own.storedBytes += record.storedBytes
            own.changedSeconds = max(own.changedSeconds, record.changedSeconds)
            line = record.parent
        }
        return own
    }

    /// One page of a session's chunks from a position on, in order of rank, component and offset.
    public func chunks(session: UInt64, from position: ChunkPosition) throws(LarderError) -> [StoredChunkEntry] {
        let context = try context(session)
        var page: [StoredChunkEntry] = []
        try forEachChunk(context, from: position) { key, record in
            page.append(StoredChunkEntry(key, record))
            return page.count < Limits.pageEntries
        }
        return page
    }

    /// Calls `body` with every chunk that a session sees from a position on, in order, until it returns false.
    func forEachChunk(
        _ context: SessionContext, from position: ChunkPosition,
        damaged: ((ChunkKey) -> Void)? = nil, _ body: (ChunkKey, ChunkRecord) throws -> Bool
    ) throws(LarderError) {
        guard position.component <= UInt16(UInt8.max) || position.rank < .max else { return }
        try read(shard: context.shard) { transaction, shard in
            for track in context.tracks {
                let place = (track.rank, UInt16(track.component))
                if place < (position.rank, position.component) { continue }
                let start = place == (position.rank, position.component) ? position.offset : 0
                let goesOn = try context.path.walk(
                    track, from: start, transaction, shard,
                    // A damaged record hides its chunk, and no other's; verify names it.
                    damaged: { key in
                        guard let damaged else {
                            return store.reportDamage(
                                key, session: context.id, "the checksum of its record fails")
                        }
                        damaged(key)
                    }, body)
                if !goesOn { return }
            }
        }
    }

    /// What a page of verification found.
    public struct Verification: Sendable {
        /// Chunks read.
        public var checked = 0
        /// Raw bytes of those that are whole.
        public var rawBytes = 0
        /// Those that are not, and why.
        public var damaged: [(position: ChunkPosition, reason: String)] = []
        /// Where to go on; nil at the end.
        public var next: ChunkPosition?
    }

    /// Reads and checks chunks of a session from a position on: at most ``Limits/bytesPerCommit`` raw bytes at once, so
    /// that no snapshot is held for long.
    public func verify(session: UInt64, from position: ChunkPosition) throws(LarderError) -> Verification {
        let context = try context(session)
        var result = Verification()
        func note(_ key: ChunkKey, _ reason: String) {
            let place = ChunkPosition(rank: key.rank, component: UInt16(key.component), offset: key.offset)
            result.damaged.append((place, reason))
        }
        if position == ChunkPosition(), let line = context.path.damagedLine {
            result.damaged.append((position, "line \(line) of the session's past is missing or damaged"))
        }
        try holdingSnapshots { () throws(LarderError) in
            try forEachChunk(context, from: position) { key in
                result.checked += 1
                note(key, "the checksum of its record fails")
            } _: { key, record in
                guard result.rawBytes < Limits.bytesPerCommit, result.checked < Limits.pageEntries else {
                    result.next = ChunkPosition(
                        rank: key.rank, component: UInt16(key.component), offset: key.offset)
                    return false
                }
                result.checked += 1
                if let reason = try reason(key, record, context) {
                    note(key, reason)
                } else {
                    result.rawBytes += Int(record.rawBytes)
                }
                return true
            }
        }
        return result
    }

    /// Why a chunk cannot be served; nil if it can.
    private func reason(_ key: ChunkKey, _ record: ChunkRecord, _ context: SessionContext) throws -> String? {
        let (_, component) = try context.component(rank: key.rank, UInt16(key.component))
        return try read(shard: context.shard) { transaction, shard in
            let bytes = try blob(record.blobID, transaction, shard)
            return store.team.withScratch { ChunkCheck.reason(record, component, bytes, $0) }
        }
    }
}

/// Whether a stored chunk can be served.
enum ChunkCheck {
    /// Decodes all of a chunk's blob, nil for one that is gone, and says why that cannot be served; nil if it can.
    static func reason(
        _ record: ChunkRecord, _ component: Component, _ blob: UnsafeRawBufferPointer?, _ scratch: CodecScratch
    ) -> String? {
        guard let blob else { return "its blob is gone" }
        do throws(ChunkDamage) {
            let chunk = try StoredChunk(blob, blobID: record.blobID)
            guard chunk.shape == ChunkShape(component, tokens: record.tokens) else { throw ChunkDamage.shape }
            let layer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk.shape.layerBytes, alignment: 16)
            defer { layer.deallocate() }
            for index in 0..<chunk.shape.layers {
                try chunk.decode(layers: index..<index + 1, into: layer, scratch: scratch)
            }
            return nil
        } catch { return error.description }
    }
}
