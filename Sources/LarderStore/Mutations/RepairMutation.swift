import LarderLMDB
import LarderModel

/// What a repair took out of the store.
public struct RepairedChunk: Sendable {
    /// Chunks that were removed; 0 if the chunk is whole, or is not there.
    public var removed = 0
    /// Bytes that this freed.
    public var freedBytes = 0
    /// What was wrong; empty if nothing.
    public var reason = ""
}

/// Takes a chunk out that fails its checks, and with it all chunks that are the same bytes. Checks it anew, inside the
/// transaction: what is whole stays.
final class RepairMutation: AwaitedMutation<RepairedChunk>, Mutation, @unchecked Sendable {
    private let session: UInt64
    private let track: LinePath.Track
    private let offset: UInt64
    private let component: Component
    var orderedSession: UInt64? { session }

    init(session: UInt64, _ track: LinePath.Track, offset: UInt64, _ component: Component) {
        self.session = session
        self.track = track
        self.offset = offset
        self.component = component
    }

    func apply(_ context: inout WriteContext) throws {
        guard let record = try context.session(session) else { throw LarderError.unknown(session: session) }
        let path = try LinePath(head: record.head, context.transaction, context.shard)
        var repaired = RepairedChunk()
        value = repaired
        guard offset <= ChunkKey.largestOffset else { return }
        for segment in path.segments {
            let key = ChunkKey(line: segment.line, rank: track.rank, component: track.component, offset: offset)
            guard offset <= segment.view.limit, try context.hasChunk(key) else { continue }
            guard let chunk = try context.chunk(key) else {
                // What it was is not known, so neither is whether this session sees it; nobody can be served it.
                try context.removeDamagedRecord(key, isLink: component.kind == .attention)
                repaired.removed += 1
                repaired.reason = "the checksum of its record fails"
                break
            }
            guard chunk.isVisible(at: offset, in: segment.view) else { continue }
            let blob = try BlobLog.find(chunk.blobID, context.transaction, context.shard)
            guard let reason = ChunkCheck.reason(chunk, component, blob, context.scratch) else { break }
            repaired.reason = reason
            try context.removeOwners(of: chunk, at: key, &repaired)
            break
        }
        value = repaired
    }
}

extension WriteContext {
    fileprivate func hasChunk(_ key: ChunkKey) throws -> Bool {
        try key.words.withBytes { try transaction.get(shard.databases.chunks, $0) != nil }
    }

    /// Removes all chunks that are one blob: that at `place`, and at most ``Limits/chunksPerRepair`` others.
    fileprivate mutating func removeOwners(
        of chunk: ChunkRecord, at place: ChunkKey, _ repaired: inout RepairedChunk
    ) throws {
        let owners = try BlobLog.owners(of: chunk.blobID, limit: Limits.chunksPerRepair, transaction, shard)
        for key in [place] + owners.filter({ $0 != place }) {
            guard let record = try self.chunk(key), record.blobID == chunk.blobID, var line = try? line(key.line)
            else {
                try disownLost(BlobOwner(chunk.blobID, key))
                continue
            }
            repaired.freedBytes += try remove(key, record, from: &line, rule: .requested)
            repaired.removed += 1
            try put(line, line: key.line)
        }
    }

    /// Removes a chunk record that fails its check. Its blob, which nothing names any more, goes with the sweep; what the
    /// line holds is counted anew.
    fileprivate mutating func removeDamagedRecord(_ key: ChunkKey, isLink: Bool) throws {
        _ = try key.words.withBytes { try transaction.delete(shard.databases.chunks, $0) }
        guard var line = (try? line(key.line)) ?? nil else { return }
        (line.chunks, line.rawBytes, line.storedBytes) = (0, 0, 0)
        try WordKey(key.line, 0).withBytes { start in
            try transaction.scan(shard.databases.chunks, from: start) { bytes, value in
                guard try ChunkKey(bytes).line == key.line else { return false }
                guard let record = try? ChunkRecord(value, key: bytes) else { return true }
                line.chunks += 1
                line.rawBytes += UInt64(record.rawBytes)
                line.storedBytes += UInt64(record.storedBytes)
                return true
            }
        }
        if isLink { line.holeAt = min(line.holeAt, key.offset) }
        try put(line, line: key.line)
    }
}

extension Store {
    /// Takes a chunk that a session sees, and that fails its checks, out of the store; `offset` is where it starts. It is a
    /// miss then, for every session that sees it, and can be put again.
    ///
    /// Throws ``LarderError``: `unknownSession`, `unknownComponent`.
    public func repair(
        session: UInt64, rank: UInt16, component index: UInt16, offset: UInt64, reader: StoreReader
    ) throws(LarderError) -> RepairedChunk {
        try reader.requireAccess(session: session)
        let (_, component) = try reader.context(session).component(rank: rank, index)
        let track = LinePath.Track(rank: rank, component: UInt8(index), isState: component.kind == .recurrent)
        return try writer(of: session).perform(RepairMutation(session: session, track, offset: offset, component))
    }
}
