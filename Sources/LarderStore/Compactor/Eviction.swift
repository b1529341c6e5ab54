import LarderLMDB
import LarderModel
import LarderSystem

// How chunks leave: one by one, and a chunk of attention together with all that lies behind it in its line, from the tail,
// so that what remains at any moment is a prefix that can be restored.
extension WriteContext {
    /// Takes a chunk out of the line that holds it, and remembers that. The caller writes the line.
    ///
    /// - Returns: the bytes that this freed: 0 if other chunks are the same blob; nil if the blob is under lease, and the
    ///   chunk stays.
    mutating func evict(
        _ key: ChunkKey, _ chunk: ChunkRecord, from line: inout LineRecord, rule: EvictionRule
    ) throws -> Int? {
        claim(chunk.blobID) ? try remove(key, chunk, from: &line, rule: rule) : nil
    }

    /// The same, whatever lease the blob is under: for what nobody can be served.
    mutating func remove(
        _ key: ChunkKey, _ chunk: ChunkRecord, from line: inout LineRecord, rule: EvictionRule
    ) throws -> Int {
        _ = try key.words.withBytes { try transaction.delete(shard.databases.chunks, $0) }
        let freed = try letGo(chunk, of: key, namespaceID: line.namespaceID)
        line.evict(chunk, at: key.offset)
        try bury(Tombstone(tokens: chunk.tokens, rule: rule, evictedSeconds: Clock.wallSeconds()), at: key)
        return freed
    }

    /// What came of an eviction with all that lies behind.
    struct TailEviction {
        var evicted = 0
        var freedBytes = 0
        /// True if the chunk itself is gone.
        var isDone = false
        /// True if something behind it stays, and so the chunk has to.
        var mustStay = false
    }

    /// Evicts a chunk; one of attention only after all that lies behind it in its line's track, from the tail: as much as
    /// frees `bytes`, and at most `limit` chunks. Stops at one that is to stay.
    mutating func evictTail(
        from owner: BlobOwner, bytes: Int, limit: Int, rule: EvictionRule,
        stays: ((key: ChunkKey, record: ChunkRecord)) -> Bool
    ) throws -> TailEviction {
        let key = owner.chunk
        var result = TailEviction()
        guard let chunk = try chunk(key), chunk.blobID == owner.blobID, var line = try? line(key.line) else {
            // Its record or its line is damaged or gone: nobody can reach it.
            try disownLost(owner)
            result.isDone = true
            return result
        }
        var next = chunk.isLink ? try last(of: key) : (key, chunk)
        while let (place, record) = next, result.evicted < limit, result.freedBytes < bytes {
            let isLast = place == key
            guard isLast || !stays((place, record)), let freed = try evict(place, record, from: &line, rule: rule)
            else {
                result.mustStay = true
                break
            }
            result.evicted += 1
            result.freedBytes += freed
            if isLast {
                result.isDone = true
                break
            }
            next = try last(of: key)
        }
        if result.evicted > 0 { try put(line, line: key.line) }
        return result
    }

    /// The last chunk of a chunk's track in its line: itself, if there is none behind it.
    private func last(of key: ChunkKey) throws -> (ChunkKey, ChunkRecord)? {
        var bound = key.at(ChunkKey.largestOffset)
        while true {
            let found = try bound.words.withBytes { bytes in
                try transaction.last(shard.databases.chunks, notAbove: bytes) { key, value in
                    (try ChunkKey(key), try? ChunkRecord(value, key: key))
                }
            }
            guard let (place, record) = found, place.isBeside(key), place.offset >= key.offset else { return nil }
            if let record { return (place, record) }
            guard place.offset > 0 else { return nil }
            // A damaged record hides its chunk; verify names it.
            bound = place.at(place.offset - 1)
        }
    }

    /// A chunk's record, if it is there and whole.
    func chunk(_ key: ChunkKey) throws -> ChunkRecord? {
        try key.words.withBytes { bytes in
            try transaction.get(shard.databases.chunks, bytes).flatMap { try? ChunkRecord($0, key: bytes) }
        }
    }
}
