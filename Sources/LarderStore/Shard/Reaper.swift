import LarderLMDB
import LarderModel

/// Frees what the graveyard names: what nobody sees of lines.
enum Reaper {
    /// Frees at most ``LarderModel/Limits/blobsPerReap`` blobs, oldest graves first. Nothing left if both counts are 0.
    static func step(_ context: inout WriteContext) throws -> (graves: Int, blobs: Int) {
        let databases = context.shard.databases
        var graves: [Grave] = []
        try context.transaction.scan(databases.graveyard, from: UnsafeRawBufferPointer(start: nil, count: 0)) {
            key, _ in
            if let grave = Grave(key) { graves.append(grave) }
            return graves.count < Limits.blobsPerReap
        }
        var freed = (graves: 0, blobs: 0)
        for grave in graves where freed.blobs < Limits.blobsPerReap {
            var isEmpty = true
            switch grave {
            case .line(let id):
                let result = try free(line: id, limit: Limits.blobsPerReap - freed.blobs, &context)
                freed.blobs += result.chunks
                isEmpty = result.isDone
                // What was done of a grave that is not empty yet counts, too: there is more to do.
                if !isEmpty && result.chunks == 0 { freed.graves += 1 }
            }
            if isEmpty {
                _ = try grave.words.withBytes { try context.transaction.delete(databases.graveyard, $0) }
                freed.graves += 1
            }
        }
        return freed
    }

    /// Frees up to `limit` chunks of a line that neither a session writes to nor a child sees; and the line itself, once it
    /// has neither chunks nor children. Returns how many chunks went, and whether nothing more is to free.
    private static func free(
        line id: UInt64, limit: Int, _ context: inout WriteContext
    ) throws -> (chunks: Int, isDone: Bool) {
        // Of a line with a damaged record the sweep frees what is left.
        guard var record = (try? context.line(id)) ?? nil, record.head == 0 else { return (0, true) }
        let views = try context.childViews(of: id)
        let unseen = try unseenChunks(of: id, record, views, limit: limit, context)
        for (key, chunk) in unseen {
            if let chunk {
                try context.letGo(chunk, of: key, namespaceID: record.namespaceID)
                record.remove(chunk)
            }
            _ = try key.words.withBytes { try context.transaction.delete(context.shard.databases.chunks, $0) }
        }
        if !unseen.isEmpty { try context.put(record, line: id) }
        if !views.isEmpty { try context.narrow(id, &record, to: views) }
        if views.isEmpty && unseen.count < limit {
            guard try context.forgetTombstones(of: id, limit: Limits.tombstonesPerReap) else {
                return (unseen.count, false)
            }
            _ = try WordKey(id).withBytes { try context.transaction.delete(context.shard.databases.lines, $0) }
            if record.parent != 0 { try context.forsake(parent: record.parent, child: id) }
        }
        return (unseen.count, unseen.count < limit)
    }

    /// Chunks of a line that none of `views` shows. The record is nil where it is damaged (its blob is then an orphan).
    private static func unseenChunks(
        of line: UInt64, _ record: LineRecord, _ views: [LineView], limit: Int, _ context: borrowing WriteContext
    ) throws -> [(ChunkKey, ChunkRecord?)] {
        let bound = views.map(\.limit).max() ?? 0
        let lateChunks = record.hasLateChunks
        var found: [(ChunkKey, ChunkRecord?)] = []
        var next: ChunkKey? = ChunkKey(line: line, rank: 0, component: 0, offset: 0)
        while let start = next, found.count < limit {
            next = nil
            try start.words.withBytes { bytes in
                try context.transaction.scan(context.shard.databases.chunks, from: bytes) { key, value in
                    let chunk = try ChunkKey(key)
                    guard chunk.line == line, found.count < limit else { return false }
                    let record = try? ChunkRecord(value, key: key)
                    guard isSeen(chunk, record, views) else {
                        found.append((chunk, record))
                        return true
                    }
                    if lateChunks { return true }
                    // All up to the last that starts below the bound is seen: step over it.
                    let last = try self.last(before: chunk.at(bound), context) ?? chunk
                    next = last.offset > chunk.offset ? last : chunk.at(chunk.offset + 1)
                    return false
                }
            }
        }
        return found
    }

    private static func isSeen(_ chunk: ChunkKey, _ record: ChunkRecord?, _ views: [LineView]) -> Bool {
        guard let record else { return views.contains { chunk.offset < $0.limit } }
        return views.contains { record.isVisible(at: chunk.offset, in: $0) }
    }

    /// The last chunk of the track that starts below `bound`.
    private static func last(before bound: ChunkKey, _ context: borrowing WriteContext) throws -> ChunkKey? {
        guard bound.offset > 0 else { return nil }
        let below = bound.at(bound.offset - 1)
        let found = try below.words.withBytes { bytes in
            try context.transaction.last(context.shard.databases.chunks, notAbove: bytes) { key, _ in
                try ChunkKey(key)
            }
        }
        return found.flatMap { $0.isBeside(bound) ? $0 : nil }
    }
}
