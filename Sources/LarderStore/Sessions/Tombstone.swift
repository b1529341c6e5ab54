import LarderLMDB
import LarderModel
import LarderSystem

/// What is remembered of an evicted chunk, so that a miss can be explained. Bounded in number; the lines begun first are
/// forgotten first.
struct Tombstone {
    var tokens: UInt32
    var rule: EvictionRule
    /// Seconds since 1970.
    var evictedSeconds: UInt64

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 24)
        writer.write(tokens)
        writer.write(rule.rawValue)
        writer.write(evictedSeconds)
        return Record.seal(writer, key: key)
    }

    init(tokens: UInt32, rule: EvictionRule, evictedSeconds: UInt64) {
        self.tokens = tokens
        self.rule = rule
        self.evictedSeconds = evictedSeconds
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "tombstone")
        tokens = try reader.read(UInt32.self, "tokens")
        rule = try reader.read(EvictionRule.self, "rule")
        evictedSeconds = try reader.read(UInt64.self, "evicted")
        try reader.finish("a tombstone")
    }
}

extension WriteContext {
    /// Remembers that a chunk was evicted, and forgets another if there are too many.
    func bury(_ tombstone: Tombstone, at chunk: ChunkKey) throws {
        let tombstones = shard.databases.tombstones
        try chunk.words.withBytes { key in
            try tombstone.sealed(key: key).withUnsafeBytes { try transaction.put(tombstones, key, $0) }
        }
        // A small store remembers fewer: about a page in sixteen of it.
        let limit = min(Limits.tombstones, 4 * max(shard.mapPages, shard.space.filePages))
        guard try transaction.statistics(tombstones).entries > limit else { return }
        var oldest: [ChunkKey] = []
        try transaction.scan(tombstones, from: UnsafeRawBufferPointer(start: nil, count: 0)) { key, _ in
            oldest.append(try ChunkKey(key))
            // Two for one, so that a limit that was lowered is reached.
            return oldest.count < 2
        }
        for key in oldest { _ = try key.words.withBytes { try transaction.delete(tombstones, $0) } }
    }

    /// Forgets the tombstones of a line, a few at a time. Returns true when none is left.
    func forgetTombstones(of line: UInt64, limit: Int) throws -> Bool {
        var found: [ChunkKey] = []
        try WordKey(line, 0).withBytes { start in
            try transaction.scan(shard.databases.tombstones, from: start) { key, _ in
                let chunk = try ChunkKey(key)
                guard chunk.line == line, found.count < limit else { return false }
                found.append(chunk)
                return true
            }
        }
        for chunk in found { _ = try chunk.words.withBytes { try transaction.delete(shard.databases.tombstones, $0) } }
        return found.count < limit
    }
}
