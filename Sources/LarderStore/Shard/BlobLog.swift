import LarderCodec
import LarderLMDB
import LarderModel

// Blobs as a log. A blob's id is also the first place that it has in `blobs`; the sweep, which frees that database from its
// oldest end, may move a blob that is still wanted to the young end, and `moved` says where it is then. The id, which
// chunk records and the blob's own header name, stays, and so nothing else is written when a blob moves.

/// A chunk that is a blob: the way back from the log to the index. 24 bytes, sorted by blob.
struct BlobOwner {
    let blobID: UInt64
    let chunk: ChunkKey

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try chunk.words.withBytes { chunk in
            var writer = ByteWriter(capacity: 24)
            writer.write(blobID.bigEndian)
            writer.write(raw: chunk)
            return try writer.bytes.withUnsafeBytes(body)
        }
    }

    init(_ blobID: UInt64, _ chunk: ChunkKey) {
        self.blobID = blobID
        self.chunk = chunk
    }

    init(_ key: UnsafeRawBufferPointer) throws(LarderError) {
        guard key.count == 24 else { throw LarderError(.damaged, "an owner's key has \(key.count) bytes, not 24") }
        blobID = WordKey.word(key, 0)
        chunk = try ChunkKey(UnsafeRawBufferPointer(rebasing: key[8...]))
    }
}

enum BlobLog {
    /// Where a blob lies in `blobs`; its id where nothing else is known.
    static func place(
        of id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> UInt64 {
        try WordKey(id).withBytes { key in
            guard let value = try transaction.get(shard.databases.moved, key) else { return id }
            var reader = try Record.open(value, key: key, "moved blob")
            return try reader.read(UInt64.self, "place")
        }
    }

    /// A blob's bytes, in the map.
    static func find(
        _ id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> UnsafeRawBufferPointer? {
        func bytes(at place: UInt64) throws -> UnsafeRawBufferPointer? {
            try withUnsafeBytes(of: place) { try transaction.get(shard.databases.blobs, $0) }
        }
        if let found = try bytes(at: id) { return found }
        let place = try place(of: id, transaction, shard)
        return place == id ? nil : try bytes(at: place)
    }

    /// The first chunks that are a blob, at most `limit`.
    static func owners(
        of id: UInt64, limit: Int, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> [ChunkKey] {
        var found: [ChunkKey] = []
        try WordKey(id).withBytes { start in
            try transaction.scan(shard.databases.owners, from: start) { key, _ in
                guard let owner = try? BlobOwner(key), owner.blobID == id, found.count < limit else { return false }
                found.append(owner.chunk)
                return true
            }
        }
        return found
    }

    /// The oldest blob of the log from a place on: its place, and its bytes.
    static func oldest(
        from place: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> (place: UInt64, bytes: UnsafeRawBufferPointer)? {
        var found: (UInt64, UnsafeRawBufferPointer)?
        try withUnsafeBytes(of: place) { start in
            try transaction.scan(shard.databases.blobs, from: start) { key, value in
                found = (key.loadUnaligned(as: UInt64.self), value)
                return false
            }
        }
        return found
    }
}

extension WriteContext {
    /// Room for a new blob at the young end, to be filled before anything else is written.
    mutating func append(
        blob id: UInt64, byteCount: Int, namespaceID: UInt32
    ) throws -> UnsafeMutableRawBufferPointer {
        usage.add(namespaceID, blobs: 1, bytes: byteCount)
        return try withUnsafeBytes(of: id) {
            try transaction.reserve(shard.databases.blobs, appending: $0, byteCount: byteCount)
        }
    }

    func own(_ id: UInt64, by chunk: ChunkKey) throws {
        try BlobOwner(id, chunk).withBytes {
            try transaction.put(shard.databases.owners, $0, UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    func disown(_ id: UInt64, by chunk: ChunkKey) throws {
        _ = try BlobOwner(id, chunk).withBytes { try transaction.delete(shard.databases.owners, $0) }
    }

    /// Frees a blob. Returns its bytes; 0 if it was not there.
    @discardableResult
    mutating func delete(blob id: UInt64, namespaceID: UInt32) throws -> Int {
        let place = (try? BlobLog.place(of: id, transaction, shard)) ?? id
        guard let bytes = try delete(place: place) else { return 0 }
        if place != id { _ = try WordKey(id).withBytes { try transaction.delete(shard.databases.moved, $0) } }
        usage.add(namespaceID, blobs: -1, bytes: -bytes)
        return bytes
    }

    /// Frees what lies at a place of the log. Returns its bytes; nil if there was nothing.
    mutating func delete(place: UInt64) throws -> Int? {
        try withUnsafeBytes(of: place) { key in
            guard let bytes = try transaction.get(shard.databases.blobs, key)?.count else { return nil }
            try transaction.delete(shard.databases.blobs, key)
            returnRoom(bytes: bytes)
            return bytes
        }
    }

    /// Writes a blob anew at the young end, and frees the place that it had.
    mutating func move(blob id: UInt64, from place: UInt64) throws {
        guard let bytes = try withUnsafeBytes(of: place, { try transaction.get(shard.databases.blobs, $0) }) else {
            return
        }
        let count = bytes.count
        // What shares a page with others may be shifted by the write; a page of its own is not.
        let copy = count < 4_096 ? Array(bytes) : nil
        let target = takeBlobID()
        let room = try withUnsafeBytes(of: target) {
            try transaction.reserve(shard.databases.blobs, appending: $0, byteCount: count)
        }
        if let copy { room.copyBytes(from: copy) } else { room.copyMemory(from: bytes) }
        try withUnsafeBytes(of: place) { _ = try transaction.delete(shard.databases.blobs, $0) }
        try WordKey(id).withBytes { key in
            var writer = ByteWriter(capacity: 12)
            writer.write(target)
            try Record.seal(writer, key: key).withUnsafeBytes { try transaction.put(shard.databases.moved, key, $0) }
        }
    }
}
