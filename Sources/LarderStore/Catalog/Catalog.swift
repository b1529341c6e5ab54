import Crypto
import LarderLMDB
import LarderModel
import LarderSystem

/// A model as the store knows it.
public struct StoredModel: Sendable {
    /// The store's number for it.
    public let id: UInt32
    /// SHA-256 of the declaration's canonical bytes.
    public let fingerprint: [UInt8]
    /// The declaration.
    public let declaration: ModelDeclaration
}

/// Models and namespaces: few, bounded in number, kept in memory and written through shard 0.
final class Catalog: Sendable {
    private struct State {
        var models: [UInt32: StoredModel] = [:]
        var modelIDs: [[UInt8]: UInt32] = [:]
        var namespaces: [UInt32: StoredNamespace] = [:]
        /// Names are compared as bytes, as everywhere: two spellings of one character are two names.
        var namespaceIDs: [[UInt8]: UInt32] = [:]
    }

    private let state: Monitor<State>
    /// Held while one entry is added or changed, so that two peers cannot add the same, or undo each other's change.
    let adding = Monitor<Void>(())
    /// Sessions of each namespace.
    let sessionCounts: SessionCounts

    /// Reads what shard 0 holds, and counts the sessions of all.
    init(_ shards: [Shard]) throws {
        sessionCounts = try SessionCounts(shards)
        let shard = shards[0]
        var state = State()
        let transaction = try ReadTransaction(shard.environment)
        try transaction.renew()
        let start = UnsafeRawBufferPointer(start: nil, count: 0)
        try transaction.scan(shard.databases.models, from: start) { key, value in
            var reader = try Record.open(value, key: key, "model")
            let model = Self.model(UInt32(WordKey.word(key, 0)), try ModelDeclaration(from: &reader))
            state.models[model.id] = model
            state.modelIDs[model.fingerprint] = model.id
            return true
        }
        try transaction.scan(shard.databases.namespaces, from: start) { key, value in
            let namespace = try StoredNamespace(value, key: key)
            state.namespaces[namespace.id] = namespace
            state.namespaceIDs[Array(namespace.name.utf8)] = namespace.id
            return true
        }
        self.state = Monitor(state)
    }

    private static func model(_ id: UInt32, _ declaration: ModelDeclaration) -> StoredModel {
        var writer = ByteWriter()
        declaration.write(to: &writer)
        return StoredModel(id: id, fingerprint: Array(SHA256.hash(data: writer.bytes)), declaration: declaration)
    }

    func model(_ id: UInt32) -> StoredModel? { state.withLock { $0.models[id] } }

    private func model(fingerprint: [UInt8]) -> StoredModel? {
        state.withLock { state in state.modelIDs[fingerprint].flatMap { state.models[$0] } }
    }

    func namespace(_ id: UInt32) -> StoredNamespace? { state.withLock { $0.namespaces[id] } }

    func namespace(named name: String) -> StoredNamespace? {
        state.withLock { state in state.namespaceIDs[Array(name.utf8)].flatMap { state.namespaces[$0] } }
    }

    /// All namespaces, in no order.
    var namespaces: [StoredNamespace] { state.withLock { Array($0.namespaces.values) } }

    /// Remembers a namespace that was committed.
    func keep(_ namespace: StoredNamespace) {
        state.withLock {
            $0.namespaces[namespace.id] = namespace
            $0.namespaceIDs[Array(namespace.name.utf8)] = namespace.id
        }
    }

    /// Models with ids above `after`, in order.
    func models(after: UInt32, limit: Int) -> [StoredModel] {
        state.withLock { Array($0.models.values.filter { $0.id > after }.sorted { $0.id < $1.id }.prefix(limit)) }
    }

    var counts: (models: Int, namespaces: Int) { state.withLock { ($0.models.count, $0.namespaces.count) } }

    /// The stored model equal to `declaration`, added through `writer` if there is none.
    func declare(_ declaration: ModelDeclaration, _ writer: ShardWriter) throws(LarderError) -> StoredModel {
        try declaration.validate()
        let candidate = Self.model(0, declaration)
        // What is known waits for nobody's commit.
        if let known = model(fingerprint: candidate.fingerprint) { return known }
        return try adding.withLock { _ throws(LarderError) in
            if let known = model(fingerprint: candidate.fingerprint) { return known }
            let next = state.withLock { UInt32($0.models.count) + 1 }
            guard next <= Limits.models else {
                throw LarderError(
                    .full, "the store holds \(Limits.models) models, its limit; start a new store for others")
            }
            let model = Self.model(next, declaration)
            var fields = ByteWriter()
            declaration.write(to: &fields)
            try writer.perform(PutRecordMutation(\.models, id: next, fields))
            state.withLock {
                $0.models[next] = model
                $0.modelIDs[model.fingerprint] = next
            }
            return model
        }
    }

    /// The namespace of that name, added through `writer` for `userID` if there is none. Throws `full` if that user owns
    /// `limit` already: names are never given up, and others need some, too.
    func openNamespace(
        _ name: String, userID: UInt32, ownedAtMost limit: Int, _ writer: ShardWriter
    ) throws(LarderError) -> StoredNamespace {
        try Names.validate(name, what: "namespace")
        if let known = namespace(named: name) { return known }
        return try adding.withLock { _ throws(LarderError) in
            if let known = namespace(named: name) { return known }
            let next = state.withLock { UInt32($0.namespaces.count) + 1 }
            guard next <= Limits.namespaces else {
                throw LarderError(.full, "the store holds \(Limits.namespaces) namespaces, its limit; use one of them")
            }
            let owned = state.withLock { $0.namespaces.values.count { $0.ownerUserID == userID } }
            guard owned < limit else {
                throw LarderError(
                    .full,
                    "user \(userID) owns \(owned) namespaces, its limit; use one of them, or have the operator raise "
                        + "user_namespaces")
            }
            let namespace = StoredNamespace(id: next, name: name, ownerUserID: userID)
            try writer.perform(PutRecordMutation(\.namespaces, id: next, namespace.fields))
            keep(namespace)
            return namespace
        }
    }

    /// Throws ``ErrorCode/modelMismatch`` unless a session's state is interchangeable with the model's.
    func requireMatch(_ record: SessionRecord, name: String, model: StoredModel) throws(LarderError) {
        func mismatch(_ field: String) -> LarderError {
            LarderError(
                .modelMismatch,
                "session '\(name.clipped)' holds state of another model: it differs in \(field). Use another "
                    + "session, or drop this one"
            )
        }
        if let id = record.modelID(rank: UInt16(model.declaration.rank)) {
            if id != model.id, let stored = self.model(id) {
                throw mismatch(model.declaration.firstDifference(from: stored.declaration) ?? "an unknown field")
            }
        } else if let other = record.models.first.flatMap({ self.model($0.modelID) }),
            !model.declaration.sharesGroup(with: other.declaration)
        {
            var sameRank = model.declaration
            sameRank.rank = other.declaration.rank
            throw mismatch(sameRank.firstDifference(from: other.declaration) ?? "its parallel group")
        }
    }
}

/// Adds a record of the catalog, or replaces it.
final class PutRecordMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let database: KeyPath<Shard.Databases, Database> & Sendable
    private let id: UInt32
    private let fields: ByteWriter
    private let isNew: Bool

    /// - Parameter isNew: false for a record that replaces one: it is written even where the cap is reached.
    init(
        _ database: KeyPath<Shard.Databases, Database> & Sendable, id: UInt32, _ fields: ByteWriter, isNew: Bool = true
    ) {
        self.isNew = isNew
        self.database = database
        self.id = id
        self.fields = fields
    }

    func apply(_ context: inout WriteContext) throws {
        guard !isNew || context.takeRoom(bytes: fields.bytes.count) else { throw LarderError.capReached }
        try WordKey(UInt64(id)).withBytes { key in
            try Record.seal(fields, key: key).withUnsafeBytes {
                try context.transaction.put(context.shard.databases[keyPath: database], key, $0)
            }
        }
        value = ()
    }
}
