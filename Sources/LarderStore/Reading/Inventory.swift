import Glibc
import LarderLMDB
import LarderModel
import LarderSystem

/// What the store holds, counted chunk by chunk: by whom and how it is kept, and how old and how hot it is.
public struct Inventory: Sendable {
    /// A namespace, a model, a component of it, and an encoding.
    public struct Kind: Sendable, Hashable {
        /// Namespace id.
        public let namespaceID: UInt32
        /// Model id; 0 where no session says which, for state whose sessions are gone.
        public let modelID: UInt32
        /// Component index.
        public let component: UInt16
        /// The encoding of most of a chunk.
        public let encoding: Encoding
    }

    /// Sums of chunks.
    public struct Sums: Sendable, Hashable {
        /// Chunks.
        public var chunks: UInt64 = 0
        /// Their raw bytes, each time that they are part of a line.
        public var rawBytes: UInt64 = 0
        /// Bytes in the store: those of chunks that are one blob count once.
        public var storedBytes: UInt64 = 0
    }

    /// A field of the map of heat: an age, and a heat.
    public struct Cell: Sendable, Hashable {
        /// A field of the map.
        public init(age: Int, heat: Int) {
            self.age = age
            self.heat = heat
        }

        /// Index into ``Inventory/ageBoundsSeconds``: since it was put, less than that; one more for older.
        public let age: Int
        /// Index into ``Inventory/heatBounds``: less than that; one more for hotter. -1 for what the memory of heat has
        /// forgotten, and for what was demoted.
        public let heat: Int
    }

    /// Upper bounds of age, in seconds.
    public static let ageBoundsSeconds: [UInt64] = [60, 600, 3_600, 6 * 3_600, 86_400, 7 * 86_400]
    /// Upper bounds of heat, in e-folds of frequency: 0 is one use just now, and each tau turns without use take one off.
    public static let heatBounds: [Double] = [-6, -4, -2, -1, 0, 1, 2]

    /// By kind.
    public var kinds: [Kind: Sums] = [:]
    /// By age and heat.
    public var cells: [Cell: Sums] = [:]
    /// Chunks whose records are damaged.
    public var damaged: UInt64 = 0
    /// Seconds since 1970 at which it was begun.
    public var seconds: UInt64 = 0
}

extension StoreReader {
    /// Counts all chunks, ``Limits/chunksPerLook`` a snapshot, so that none is held for long. What is put or goes meanwhile
    /// may be counted or not.
    public func inventory() throws(LarderError) -> Inventory {
        var inventory = Inventory()
        inventory.seconds = Clock.wallSeconds()
        for shard in store.shards.indices {
            let models = try modelsOfLines(shard: shard)
            var next: [UInt8]? = []
            while let start = next { next = try count(from: start, shard: shard, models, into: &inventory) }
        }
        return inventory
    }

    /// The models, by rank, of the session that each line is part of: of several that share a past they are the same.
    private func modelsOfLines(shard index: Int) throws(LarderError) -> [UInt64: [(rank: UInt16, modelID: UInt32)]] {
        var found: [UInt64: [(rank: UInt16, modelID: UInt32)]] = [:]
        var next: UInt64? = 0
        while let start = next {
            next = nil
            try read(shard: index) { transaction, shard in
                var count = 0
                try WordKey(start).withBytes { start in
                    try transaction.scan(shard.databases.sessions, from: start) { key, value in
                        count += 1
                        if count > Limits.pageEntries {
                            next = WordKey.word(key, 0)
                            return false
                        }
                        guard let record = try? SessionRecord(value, key: key) else { return true }
                        var line = record.head
                        while line != 0, found[line] == nil {
                            found[line] = record.models
                            line =
                                try WordKey(line).withBytes { key in
                                    try transaction.get(shard.databases.lines, key).flatMap {
                                        try? LineRecord($0, key: key)
                                    }
                                }?.parent ?? 0
                        }
                        return true
                    }
                }
            }
        }
        return found
    }

    private struct Look {
        let key: ChunkKey
        let record: ChunkRecord
        let storedBytes: UInt64
    }

    /// Counts the chunks from a key on, as many as one look takes; the key to go on from, nil at the end.
    private func count(
        from start: [UInt8], shard index: Int, _ models: [UInt64: [(rank: UInt16, modelID: UInt32)]],
        into inventory: inout Inventory
    ) throws(LarderError) -> [UInt8]? {
        var looks: [Look] = []
        var namespaces: [UInt64: UInt32] = [:]
        var damaged: UInt64 = 0
        var next: [UInt8]?
        try read(shard: index) { transaction, shard in
            try start.withUnsafeBytes { start in
                try transaction.scan(shard.databases.chunks, from: start) { bytes, value in
                    guard looks.count < Limits.chunksPerLook else {
                        next = Array(bytes)
                        return false
                    }
                    let key = try ChunkKey(bytes)
                    guard let record = try? ChunkRecord(value, key: bytes) else {
                        damaged += 1
                        return true
                    }
                    if namespaces[key.line] == nil {
                        namespaces[key.line] =
                            try WordKey(key.line).withBytes { key in
                                try transaction.get(shard.databases.lines, key).flatMap {
                                    try? LineRecord($0, key: key)
                                }
                            }?.namespaceID ?? 0
                    }
                    // Of the chunks that are one blob, the first owner counts its bytes.
                    let counts =
                        try !record.isShared
                        || BlobLog.owners(of: record.blobID, limit: 1, transaction, shard).first == key
                    looks.append(Look(key: key, record: record, storedBytes: counts ? UInt64(record.storedBytes) : 0))
                    return true
                }
            }
        }
        inventory.damaged += damaged
        let heats = store.shards[index].heat.relativeHeats(looks.map(\.record.heatKey))
        for (look, heat) in zip(looks, heats) {
            let modelID = models[look.key.line]?.first { $0.rank == look.key.rank }?.modelID ?? 0
            inventory.add(
                look.record, storedBytes: look.storedBytes, namespaceID: namespaces[look.key.line] ?? 0,
                modelID: modelID, component: UInt16(look.key.component), heat: heat)
        }
        return next
    }
}

extension Inventory {
    fileprivate mutating func add(
        _ record: ChunkRecord, storedBytes: UInt64, namespaceID: UInt32, modelID: UInt32, component: UInt16,
        heat: Double?
    ) {
        let kind = Kind(
            namespaceID: namespaceID, modelID: modelID, component: component, encoding: record.encoding)
        let age = seconds - min(seconds, record.createdSeconds)
        let cell = Cell(
            age: Self.ageBoundsSeconds.firstIndex { age < $0 } ?? Self.ageBoundsSeconds.count,
            heat: heat.map { heat in Self.heatBounds.firstIndex { heat < $0 } ?? Self.heatBounds.count } ?? -1)
        kinds[kind, default: Sums()].add(record, storedBytes)
        cells[cell, default: Sums()].add(record, storedBytes)
    }
}

extension Inventory.Sums {
    fileprivate mutating func add(_ record: ChunkRecord, _ stored: UInt64) {
        chunks += 1
        rawBytes &+= UInt64(record.rawBytes)
        storedBytes &+= stored
    }
}

extension HeatTracker {
    /// The heat of keys as of now, in e-folds of frequency: 0 for one use just now. Nil for what is forgotten, and for what
    /// was demoted.
    func relativeHeats(_ keys: [UInt64]) -> [Double?] {
        // A little at a time: page-ins take the same lock.
        var heats: [Double?] = []
        heats.reserveCapacity(keys.count)
        for start in stride(from: 0, to: keys.count, by: 128) {
            heats += relativeHeats(ofFew: keys[start..<min(start + 128, keys.count)])
        }
        return heats
    }
}
