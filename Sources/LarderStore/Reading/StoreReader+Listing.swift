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

    init(_ key: ChunkKey, _ record: ChunkRecord) {
        rank = key.rank
        component = UInt16(key.component)
        offset = key.offset
        tokens = record.tokens
        rawBytes = Int(record.rawBytes)
        storedBytes = Int(record.storedBytes)
        encoding = record.encoding
        createdSeconds = record.createdSeconds
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

    /// The first key of the index at or after the position; nil if there can be none.
    func key(in session: UInt64) -> ChunkKey? {
        if component > UInt16(UInt8.max) {
            return rank == .max ? nil : ChunkPosition(rank: rank + 1).key(in: session)
        }
        if offset > ChunkKey.largestOffset {
            return ChunkPosition(rank: rank, component: component + 1).key(in: session)
        }
        return ChunkKey(session: session, rank: rank, component: UInt8(component), offset: offset)
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
        let wanted = namespace.isEmpty ? nil : store.catalog.namespace(named: namespace)
        if !namespace.isEmpty {
            guard let wanted else { return ([], 0) }
            try Store.requireAccess(wanted, userID)
        }
        // Ids of different shards interleave: take a page of each, then the first page of them all.
        for shard in store.shards.indices {
            var ofShard = 0
            try read(shard: shard) { transaction, shard in
                try WordKey(after + 1).withBytes { start in
                    try transaction.scan(shard.databases.sessions, from: start) { key, value in
                        // A damaged record hides its session, and no other's.
                        guard let record = try? SessionRecord(value, key: key),
                            let namespace = store.catalog.namespace(record.namespaceID),
                            Store.mayAccess(namespace, userID), wanted == nil || wanted?.id == namespace.id
                        else { return true }
                        ofShard += 1
                        found.append(Self.session(WordKey.word(key, 0), record, namespace))
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

    private static func session(_ id: UInt64, _ record: SessionRecord, _ namespace: StoredNamespace) -> StoredSession {
        StoredSession(
            id: id, namespace: namespace, name: record.name, models: record.models,
            totals: (record.chunks, record.rawBytes, record.storedBytes), createdSeconds: record.createdSeconds,
            changedSeconds: record.changedSeconds)
    }

    /// One page of a session's chunks from a position on, in order of rank, component and offset.
    public func chunks(session: UInt64, from position: ChunkPosition) throws(LarderError) -> [StoredChunkEntry] {
        let context = try context(session)
        var page: [StoredChunkEntry] = []
        try forEachChunk(context, from: position) { key, record, _ in
            page.append(StoredChunkEntry(key, record))
            return page.count < Limits.pageEntries
        }
        return page
    }

    func forEachChunk(
        _ context: SessionContext, from position: ChunkPosition,
        _ body: (ChunkKey, ChunkRecord, UInt64) throws -> Bool
    ) throws(LarderError) {
        guard let start = position.key(in: context.id) else { return }
        try read(shard: context.shard) { transaction, shard in
            try start.words.withBytes { bytes in
                try transaction.scan(shard.databases.chunks, from: bytes) { key, value in
                    let chunk = try ChunkKey(key)
                    guard chunk.session == context.id else { return false }
                    // A damaged record hides its chunk, and no other's; verify names it.
                    guard let record = try? ChunkRecord(value, key: key) else {
                        store.reportDamage(chunk, "the checksum of its record fails")
                        return true
                    }
                    return try body(chunk, record, chunk.offset)
                }
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
        var keys: [(ChunkPosition, reason: String?, rawBytes: Int)] = []
        guard let start = position.key(in: session) else { return result }
        try read(shard: context.shard) { transaction, shard in
            try start.words.withBytes { bytes in
                try transaction.scan(shard.databases.chunks, from: bytes) { key, value in
                    let chunk = try ChunkKey(key)
                    guard chunk.session == session else { return false }
                    let place = ChunkPosition(
                        rank: chunk.rank, component: UInt16(chunk.component), offset: chunk.offset)
                    guard result.rawBytes < Limits.bytesPerCommit, keys.count < Limits.pageEntries else {
                        result.next = place
                        return false
                    }
                    let checked = check(chunk, value, key: key, context, transaction, shard)
                    keys.append((place, checked.reason, checked.rawBytes))
                    result.rawBytes += checked.reason == nil ? checked.rawBytes : 0
                    return true
                }
            }
        }
        result.checked = keys.count
        result.damaged = keys.compactMap { key in key.reason.map { (key.0, $0) } }
        return result
    }

    private func check(
        _ key: ChunkKey, _ value: UnsafeRawBufferPointer, key bytes: UnsafeRawBufferPointer, _ context: SessionContext,
        _ transaction: borrowing ReadTransaction, _ shard: Shard
    ) -> (reason: String?, rawBytes: Int) {
        do {
            let record = try ChunkRecord(value, key: bytes)
            let (_, component) = try context.component(rank: key.rank, UInt16(key.component))
            guard let stored = try blob(record.blobID, transaction, shard) else { return ("its blob is gone", 0) }
            let chunk = try StoredChunk(stored, blobID: record.blobID)
            guard chunk.shape == ChunkShape(component, tokens: record.tokens) else {
                return ("\(ChunkDamage.shape)", 0)
            }
            let layer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk.shape.layerBytes, alignment: 16)
            defer { layer.deallocate() }
            try store.team.withScratch { scratch throws(ChunkDamage) in
                for index in 0..<chunk.shape.layers {
                    try chunk.decode(layers: index..<index + 1, into: layer, scratch: scratch)
                }
            }
            return (nil, chunk.shape.rawBytes)
        } catch { return ("\(error)", 0) }
    }
}
