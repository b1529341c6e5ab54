import LarderModel

/// Names chunks that are stored by their content, as if they had been put with those keys.
final class ShareMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    /// A chunk, and the name that it gets.
    struct Naming {
        let chunk: ChunkKey
        let blobID: UInt64
        let place: PrefixPlace
        /// The blob that the key names already, which was found to hold the same bytes.
        let known: UInt64?
    }

    private let namings: [Naming]

    init(_ namings: [Naming]) { self.namings = namings }

    func apply(_ context: inout WriteContext) throws {
        var records: [(ChunkRecord, Naming)] = []
        for naming in namings {
            if let record = try unnamed(naming, context) { records.append((record, naming)) }
        }
        for _ in records {
            guard context.takeRoom(bytes: Self.entryBytes) else { throw LarderError.capReached }
        }
        for (stored, naming) in records {
            var record = stored
            record.isShared = true
            record.heatKey = naming.place.heatKey
            try context.put(record, naming.chunk)
            try context.share(record, as: naming.place)
            context.shard.heat.evicted(stored.heatKey)
            context.shard.heat.use(CollectionOfOne(record.heatKey))
        }
        value = ()
    }

    /// Bytes of a prefix record and of the way back to it, about.
    private static let entryBytes = 160

    /// The record of a chunk that is to get its name; nil if the name leads to these bytes already.
    private func unnamed(_ naming: Naming, _ context: borrowing WriteContext) throws -> ChunkRecord? {
        guard let record = try context.chunk(naming.chunk), record.blobID == naming.blobID else {
            throw LarderError(.busy, "the chunk at \(naming.chunk.offset) changed while it was to be shared; ask again")
        }
        if let prefix = try PrefixRecord.find(naming.place, context.transaction, context.shard) {
            if prefix.blobID == record.blobID || prefix.blobID == naming.known { return nil }
            throw LarderError(.busy, "a chunk was put under the key of that at \(naming.chunk.offset); ask again")
        }
        guard !record.isShared else {
            throw LarderError(
                .conflict, "the chunk at \(naming.chunk.offset) has another prefix key already; match it by that one")
        }
        return record
    }
}
