import LarderLMDB
import LarderModel

/// Frees what the graveyard names: blobs, and the chunks of dropped sessions.
enum Reaper {
    /// Frees at most ``LarderModel/Limits/blobsPerReap`` blobs, oldest graves first. Nothing left if both counts are 0.
    static func step(_ context: borrowing WriteContext) throws -> (graves: Int, blobs: Int) {
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
            case .blob(let id):
                try delete(blob: id, context)
                freed.blobs += 1
            case .session(let id):
                let chunks = try self.chunks(of: id, limit: Limits.blobsPerReap - freed.blobs, context)
                for (key, blobID) in chunks {
                    if let blobID { try delete(blob: blobID, context) }
                    _ = try key.words.withBytes { try context.transaction.delete(databases.chunks, $0) }
                    freed.blobs += 1
                }
                isEmpty = freed.blobs < Limits.blobsPerReap
            }
            if isEmpty {
                _ = try grave.words.withBytes { try context.transaction.delete(databases.graveyard, $0) }
                freed.graves += 1
            }
        }
        return freed
    }

    /// Chunks of a session; the blob is nil where the record is damaged (its blob is then an orphan).
    private static func chunks(
        of session: UInt64, limit: Int, _ context: borrowing WriteContext
    ) throws -> [(ChunkKey, UInt64?)] {
        var found: [(ChunkKey, UInt64?)] = []
        try WordKey(session, 0).withBytes { start in
            try context.transaction.scan(context.shard.databases.chunks, from: start) { key, value in
                let chunk = try ChunkKey(key)
                guard chunk.session == session, found.count < limit else { return false }
                found.append((chunk, (try? ChunkRecord(value, key: key))?.blobID))
                return true
            }
        }
        return found
    }

    private static func delete(blob id: UInt64, _ context: borrowing WriteContext) throws {
        _ = try withUnsafeBytes(of: id) { try context.transaction.delete(context.shard.databases.blobs, $0) }
    }
}
