import LarderLMDB
import LarderModel
import LarderSystem

/// Opens a session, or creates it, for one rank of a model.
final class OpenSessionMutation: AwaitedMutation<(id: UInt64, created: Bool)>, Mutation, @unchecked Sendable {
    private let namespaceID: UInt32
    private let name: String
    private let model: StoredModel
    private let create: Bool
    private let catalog: Catalog

    init(namespaceID: UInt32, name: String, model: StoredModel, create: Bool, catalog: Catalog) {
        self.namespaceID = namespaceID
        self.name = name
        self.model = model
        self.create = create
        self.catalog = catalog
    }

    func apply(_ context: inout WriteContext) throws {
        let rank = UInt16(model.declaration.rank)
        let known = try? SessionNames.find(context.transaction, context.shard, namespaceID, name)
        if let id = known, var record = try? context.session(id) {
            try catalog.requireMatch(record, name: name, model: model)
            if record.modelID(rank: rank) == nil {
                record.models.append((rank, model.id))
                record.models.sort { $0.rank < $1.rank }
                try context.put(record, session: id)
            }
            value = (id, false)
            return
        }
        guard create else {
            throw LarderError(.unknownSession, "there is no session '\(name.clipped)'; open it with create to make it")
        }
        guard context.takeRoom(bytes: 4_096) else {
            throw LarderError(
                .full, "the store has reached its cap; drop sessions that are not wanted, or raise the cap")
        }
        if let lost = known {
            // The name leads to a record that is damaged: its state is out of reach, and its room is wanted.
            _ = try WordKey(lost).withBytes { try context.transaction.delete(context.shard.databases.sessions, $0) }
            try context.bury(.session(lost))
        }
        let id = context.takeSessionID()
        var record = SessionRecord(namespaceID: namespaceID, name: name, createdSeconds: Clock.wallSeconds())
        record.models = [(rank, model.id)]
        try context.put(record, session: id)
        try SessionNames.put(context, namespaceID, name, session: id)
        value = (id, true)
    }
}

/// Forgets a session: its record goes now, its chunks when the writer finds time.
final class DropMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let session: UInt64

    init(session: UInt64) { self.session = session }

    func apply(_ context: inout WriteContext) throws {
        guard let record = try context.session(session) else {
            throw LarderError(.unknownSession, "session \(session) is not stored; it may have been dropped")
        }
        let databases = context.shard.databases
        _ = try WordKey(session).withBytes { try context.transaction.delete(databases.sessions, $0) }
        try SessionNames.delete(context, record.namespaceID, record.name)
        try context.bury(.session(session))
        value = ()
    }
}

/// Takes the chunks that reach beyond an offset out of a session. Their bytes are freed when the writer finds time.
final class TruncateMutation: AwaitedMutation<Int>, Mutation, @unchecked Sendable {
    private let session: UInt64
    private let offset: UInt64

    init(session: UInt64, offset: UInt64) {
        self.session = session
        self.offset = offset
    }

    func apply(_ context: inout WriteContext) throws {
        guard var record = try context.session(session) else {
            throw LarderError(.unknownSession, "session \(session) is not stored; it may have been dropped")
        }
        let chunks = context.shard.databases.chunks
        var beyond: [(ChunkKey, ChunkRecord?)] = []
        try WordKey(session, 0).withBytes { start in
            try context.transaction.scan(chunks, from: start) { key, value in
                let chunk = try ChunkKey(key)
                guard chunk.session == session else { return false }
                // A damaged record goes whatever it covers: nothing can be read by it.
                let stored = try? ChunkRecord(value, key: key)
                if stored.map({ chunk.offset + UInt64($0.tokens) > offset }) ?? true { beyond.append((chunk, stored)) }
                return true
            }
        }
        for (chunk, stored) in beyond {
            _ = try chunk.words.withBytes { try context.transaction.delete(chunks, $0) }
            guard let stored else { continue }
            try context.bury(.blob(stored.blobID))
            record.count(stored, sign: -1)
        }
        if !beyond.isEmpty {
            record.changedSeconds = Clock.wallSeconds()
            try context.put(record, session: session)
        }
        value = beyond.count
    }
}

/// Makes all that was committed survive power loss.
final class SyncMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    override var isDurable: Bool { true }

    func apply(_ context: inout WriteContext) throws { value = () }
}

/// The names of sessions: namespace id and name to session id.
enum SessionNames {
    private static func key(_ namespaceID: UInt32, _ name: String) -> [UInt8] {
        withUnsafeBytes(of: namespaceID.bigEndian) { Array($0) } + Array(name.utf8)
    }

    static func find(
        _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard, _ namespaceID: UInt32, _ name: String
    ) throws -> UInt64? {
        try key(namespaceID, name).withUnsafeBytes { key in
            guard let value = try transaction.get(shard.databases.names, key) else { return nil }
            var reader = try Record.open(value, key: key, "session name")
            return try reader.read(UInt64.self, "session")
        }
    }

    static func put(_ context: borrowing WriteContext, _ namespaceID: UInt32, _ name: String, session: UInt64) throws {
        try key(namespaceID, name).withUnsafeBytes { key in
            var writer = ByteWriter(capacity: 12)
            writer.write(session)
            try Record.seal(writer, key: key).withUnsafeBytes {
                try context.transaction.put(context.shard.databases.names, key, $0)
            }
        }
    }

    static func delete(_ context: borrowing WriteContext, _ namespaceID: UInt32, _ name: String) throws {
        _ = try key(namespaceID, name).withUnsafeBytes {
            try context.transaction.delete(context.shard.databases.names, $0)
        }
    }
}
