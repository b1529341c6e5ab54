import LarderCodec
import LarderLMDB
import LarderModel

/// Where a prefix key stands: in its namespace, for one component of one model. The same key elsewhere is another.
struct PrefixPlace: Hashable {
    let namespaceID: UInt32
    let modelID: UInt32
    let component: UInt8
    let key: PrefixKey

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        var writer = ByteWriter(capacity: 41)
        writer.write(namespaceID.bigEndian)
        writer.write(modelID.bigEndian)
        writer.write(component)
        key.write(to: &writer)
        return try writer.bytes.withUnsafeBytes(body)
    }

    /// The place from the bytes of its key.
    init(_ bytes: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = ByteReader(bytes)
        namespaceID = UInt32(bigEndian: try reader.read(UInt32.self, "namespace id"))
        modelID = UInt32(bigEndian: try reader.read(UInt32.self, "model id"))
        component = try reader.read(UInt8.self, "component")
        key = try PrefixKey(from: &reader)
        try reader.finish("a prefix key")
    }

    init(namespaceID: UInt32, modelID: UInt32, component: UInt8, key: PrefixKey) {
        self.namespaceID = namespaceID
        self.modelID = modelID
        self.component = component
        self.key = key
    }
}

/// The chunk that a prefix key names, and how many chunks of sessions are it.
struct PrefixRecord {
    var blobID: UInt64
    var tokens: UInt32
    var rawBytes: UInt32
    var storedBytes: UInt32
    var encoding: Encoding
    var references: UInt32

    init(_ chunk: ChunkRecord) {
        blobID = chunk.blobID
        tokens = chunk.tokens
        rawBytes = chunk.rawBytes
        storedBytes = chunk.storedBytes
        encoding = chunk.encoding
        references = 1
    }

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 32)
        writer.write(blobID)
        writer.write(tokens)
        writer.write(rawBytes)
        writer.write(storedBytes)
        writer.write(encoding.rawValue)
        writer.write(references)
        return Record.seal(writer, key: key)
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "prefix")
        blobID = try reader.read(UInt64.self, "blob id")
        tokens = try reader.read(UInt32.self, "tokens")
        rawBytes = try reader.read(UInt32.self, "raw bytes")
        storedBytes = try reader.read(UInt32.self, "stored bytes")
        encoding = try reader.read(Encoding.self, "encoding")
        references = try reader.read(UInt32.self, "references")
        try reader.finish("a prefix record")
    }

    /// The record under a key, if there is one that is whole.
    static func find(
        _ place: PrefixPlace, _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard
    ) throws -> PrefixRecord? {
        try place.withBytes { key in
            try transaction.get(shard.databases.prefixes, key).flatMap { try? PrefixRecord($0, key: key) }
        }
    }
}

extension WriteContext {
    func put(_ record: PrefixRecord, _ place: PrefixPlace) throws {
        try place.withBytes { key in
            try record.sealed(key: key).withUnsafeBytes { try transaction.put(shard.databases.prefixes, key, $0) }
        }
    }

    /// Names a chunk just written by its prefix.
    func share(_ chunk: ChunkRecord, as place: PrefixPlace) throws {
        try put(PrefixRecord(chunk), place)
        try WordKey(chunk.blobID).withBytes { blob in
            try place.withBytes { try transaction.put(shard.databases.shared, blob, $0) }
        }
    }

    /// Lets go of a chunk's blob, and frees it if nothing else refers to it. Returns the bytes freed.
    @discardableResult
    mutating func letGo(_ chunk: ChunkRecord, of key: ChunkKey, namespaceID: UInt32) throws -> Int {
        try disown(chunk.blobID, by: key)
        guard try release(chunk) else { return 0 }
        shard.heat.evicted(chunk.heatKey)
        return try delete(blob: chunk.blobID, namespaceID: namespaceID)
    }

    /// Returns true if nothing refers to a chunk's blob any more, and it is to be freed.
    private func release(_ chunk: ChunkRecord) throws -> Bool {
        guard chunk.isShared else { return true }
        // Without the way back to its key nothing is known of others: it stays.
        guard let place = try sharedPlace(of: chunk.blobID) else { return false }
        return try release(shared: chunk.blobID, place)
    }

    /// Where a blob is named by its content, if it is.
    private func sharedPlace(of blobID: UInt64) throws -> PrefixPlace? {
        try WordKey(blobID).withBytes { blob in
            try transaction.get(shard.databases.shared, blob).flatMap { try? PrefixPlace($0) }
        }
    }

    private func release(shared blobID: UInt64, _ place: PrefixPlace) throws -> Bool {
        guard var record = try PrefixRecord.find(place, transaction, shard), record.blobID == blobID else {
            return false
        }
        guard record.references <= 1 else {
            record.references -= 1
            try put(record, place)
            return false
        }
        _ = try place.withBytes { try transaction.delete(shard.databases.prefixes, $0) }
        _ = try WordKey(blobID).withBytes { try transaction.delete(shard.databases.shared, $0) }
        return true
    }

    /// Lets go of a blob for a chunk whose record is damaged, or names another blob. One that is nobody's then goes with the
    /// sweep.
    func disownLost(_ owner: BlobOwner) throws {
        try disown(owner.blobID, by: owner.chunk)
        if let place = try sharedPlace(of: owner.blobID) { _ = try release(shared: owner.blobID, place) }
    }
}

extension StoreReader {
    /// How many of `keys`, from the first on, name stored chunks of one component in a namespace; 0 where its policy shares
    /// nothing.
    ///
    /// What it answers, and how many look-ups it makes, depends on that namespace alone: each look-up is for a key that
    /// begins with the namespace's id, so that it ends among this namespace's own keys, or in the gap between its neighbours,
    /// and never opens another's record. A key of another namespace thus makes it neither longer nor shorter; all that
    /// others add to its time is the depth of the tree, the logarithm of how many keys the store holds in all.
    public func match(
        namespace: String, modelID: UInt32, component: UInt16, keys: [PrefixKey]
    ) throws(LarderError) -> Int {
        guard let space = self.namespace(named: namespace) else { return 0 }
        beginTurn()
        guard component <= UInt16(UInt8.max), space.policy.sharing == .shared else { return 0 }
        return try holdingSnapshots { () throws(LarderError) in
            for (index, named) in keys.enumerated() {
                guard let key = space.storedKey(named) else { return index }
                let place = PrefixPlace(
                    namespaceID: space.id, modelID: modelID, component: UInt8(component), key: key)
                var isStored = false
                for shard in store.shards.indices where !isStored {
                    isStored = try read(shard: shard) { try PrefixRecord.find(place, $0, $1) != nil }
                    if isStored { store.shards[shard].heat.use(CollectionOfOne(place.heatKey)) }
                }
                if !isStored { return index }
            }
            return keys.count
        }
    }
}
