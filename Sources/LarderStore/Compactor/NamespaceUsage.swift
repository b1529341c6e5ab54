import LarderLMDB
import LarderModel

/// What a namespace takes of a shard: its blobs, and their stored bytes. A blob that several chunks share counts once.
struct NamespaceUsage: Equatable {
    var blobs: UInt64 = 0
    var bytes: UInt64 = 0

    init() {}

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 20)
        writer.write(blobs)
        writer.write(bytes)
        return Record.seal(writer, key: key)
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "usage")
        blobs = try reader.read(UInt64.self, "blobs")
        bytes = try reader.read(UInt64.self, "bytes")
        try reader.finish("a usage record")
    }

    /// Calls `body` with the namespaces of a shard and what each takes.
    static func forEach(
        _ transaction: borrowing WriteTransaction, _ database: Database, _ body: (UInt32, NamespaceUsage) -> Void
    ) throws {
        try transaction.scan(database, from: UnsafeRawBufferPointer(start: nil, count: 0)) { key, value in
            if key.count == 8, let usage = try? NamespaceUsage(value, key: key) {
                body(UInt32(truncatingIfNeeded: WordKey.word(key, 0)), usage)
            }
            return true
        }
    }

    /// What a namespace takes; nothing if its record is missing or damaged.
    static func find(
        _ namespaceID: UInt32, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> NamespaceUsage {
        try WordKey(UInt64(namespaceID)).withBytes { key in
            try transaction.get(shard.databases.usage, key).flatMap { try? NamespaceUsage($0, key: key) }
        } ?? NamespaceUsage()
    }
}

/// What a transaction adds to what namespaces take, and takes away.
struct UsageChange {
    private(set) var changes: [UInt32: (blobs: Int, bytes: Int)] = [:]

    mutating func add(_ namespaceID: UInt32, blobs: Int, bytes: Int) {
        let change = changes[namespaceID] ?? (0, 0)
        changes[namespaceID] = (change.blobs + blobs, change.bytes + bytes)
    }

    func apply(_ transaction: borrowing WriteTransaction, _ shard: Shard) throws {
        for (id, change) in changes where change != (0, 0) {
            var usage = try NamespaceUsage.find(id, transaction, shard)
            // A record that was lost counts from nothing: never below it.
            usage.blobs = UInt64(max(0, Int(clamping: usage.blobs) + change.blobs))
            usage.bytes = UInt64(max(0, Int(clamping: usage.bytes) + change.bytes))
            try WordKey(UInt64(id)).withBytes { key in
                try usage.sealed(key: key).withUnsafeBytes { try transaction.put(shard.databases.usage, key, $0) }
            }
        }
    }
}
