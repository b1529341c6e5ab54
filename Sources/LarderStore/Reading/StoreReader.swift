import LarderCodec
import LarderLMDB
import LarderModel
import LarderPolicy

/// Reads a store for one thread: a renewable snapshot of each shard, and memory of the session used last.
///
/// Not safe from two threads at once.
public final class StoreReader {
    let store: Store
    /// On whose behalf it reads.
    let principal: Principal
    /// Where its worker's page-outs wait.
    let lane: Lane
    private var snapshots: [Snapshot?]
    private var holds = false
    /// What this reader's last resumes named, by session, oldest first.
    private var leases: [(session: UInt64, lease: Lease)] = []
    /// What hints of this reader's worker pinned, oldest first.
    var pins: [HeldPin] = []
    /// When the last resume or match began, as heat counts time; nil if there was none.
    private(set) var turn: UInt64?
    /// Blocks of the page-in at hand; kept between requests for its memory.
    var work: [BlockWork] = []
    /// What was restored of the sessions that were resumed or paged in last, oldest first.
    private var restored: [(session: UInt64, tokens: RestoredTokens)] = []
    /// What that may be done in each namespace that was asked for; it does not change while the store is open.
    private var knownRights: [UInt32: AccessRights] = [:]
    private var remembered: (context: SessionContext, generation: UInt64)?

    /// A reader of `store` for a user without supplementary groups.
    public convenience init(_ store: Store, userID: UInt32) { self.init(store, for: Principal(userID: userID)) }

    /// A reader of `store` for whoever asks.
    public init(_ store: Store, for principal: Principal) {
        self.store = store
        self.principal = principal
        lane = Lane(userID: principal.userID, reader: store.nextReader())
        snapshots = Array(repeating: nil, count: store.shards.count)
    }

    /// A read transaction with the shard that it needs to outlive it.
    private final class Snapshot {
        var transaction: ReadTransaction?
        let shard: Shard
        /// True while it is held for several looks.
        var isHeld = false

        init(_ shard: Shard) throws {
            self.shard = shard
            transaction = try ReadTransaction(shard.environment)
        }

        deinit { transaction = nil }
    }

    /// What a request needs to know of a session.
    struct SessionContext {
        let id: UInt64
        let shard: Int
        let record: SessionRecord
        let models: [UInt16: StoredModel]
        /// What the session sees.
        let path: LinePath
        /// The namespace, and what the reader's user may do in it: at least read.
        let namespace: StoredNamespace
        let rights: AccessRights

        /// Throws `forbidden` if the user may only read.
        func requireWrite() throws(LarderError) {
            guard rights == .write else { throw LarderError.forbidden(namespace: namespace.name) }
        }

        /// The tracks of all ranks that have opened the session, in order.
        var tracks: [LinePath.Track] {
            models.sorted { $0.key < $1.key }.flatMap { rank, model in
                model.declaration.components.enumerated().map { index, component in
                    LinePath.Track(rank: rank, component: UInt8(index), isState: component.kind == .recurrent)
                }
            }
        }

        func component(rank: UInt16, _ index: UInt16) throws(LarderError) -> (StoredModel, Component) {
            guard let model = models[rank] else {
                throw LarderError(
                    .unknownComponent,
                    "rank \(rank) has not opened session '\(record.name.clipped)'; open it with that rank's model")
            }
            guard Int(index) < model.declaration.components.count else {
                throw LarderError(
                    .unknownComponent,
                    "model '\(model.declaration.name.clipped)' has \(model.declaration.components.count) "
                        + "components; there is no component \(index)"
                )
            }
            return (model, model.declaration.components[Int(index)])
        }
    }

    /// Runs `body` on the newest snapshot of a shard, or on the one that is held.
    func read<Result>(
        shard index: Int, _ body: (borrowing ReadTransaction, Shard) throws -> Result
    ) throws(LarderError) -> Result {
        do {
            let snapshot = try snapshots[index] ?? Snapshot(store.shards[index])
            snapshots[index] = snapshot
            if !snapshot.isHeld { try snapshot.transaction!.renew() }
            snapshot.isHeld = holds
            defer { if !snapshot.isHeld { snapshot.transaction!.reset() } }
            return try body(snapshot.transaction!, snapshot.shard)
        } catch let error as LarderError {
            throw error
        } catch {
            throw LarderError(.storage, "the store could not be read: \(error)")
        }
    }

    /// Runs `body`, in which what ``read(shard:_:)`` finds stays valid to the end of it: each shard's snapshot is held from
    /// the first look at it on.
    func holdingSnapshots<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        holds = true
        defer {
            holds = false
            for case let snapshot? in snapshots where snapshot.isHeld {
                snapshot.transaction!.reset()
                snapshot.isHeld = false
            }
        }
        return try body()
    }

    /// Keeps the chunks of a resume from eviction, in place of those of the one before it for that session. False if one of
    /// them went since there had been `evictions`, or is going.
    func lease(_ chunks: [StoredChunkEntry], session: UInt64, shard: Int, since evictions: UInt64) -> Bool {
        let blobs = chunks.map { LeaseTable.Blob(shard: shard, id: $0.blobID) }
        guard let lease = store.leases.take(blobs, since: evictions) else { return false }
        leases.removeAll { $0.session == session }
        if leases.count == Limits.leasesPerConnection { leases.removeFirst() }
        leases.append((session, lease))
        return true
    }

    /// Begins to count anew which of a session's tokens are restored, up to the offset of its resume.
    func noteResume(session: UInt64, offset: UInt64) {
        restored.removeAll { $0.session == session }
        if restored.count == Limits.restoresPerConnection { restored.removeFirst() }
        restored.append((session, RestoredTokens(resumedAt: offset)))
    }

    /// Counts tokens that were paged in; returns how many of them nobody has to compute because of it.
    func noteRestored(_ range: Range<UInt64>, session: UInt64) -> UInt64 {
        var index = restored.lastIndex { $0.session == session }
        if index == nil {
            // Without a resume nothing says what the worker needs.
            noteResume(session: session, offset: .max)
            index = restored.count - 1
        }
        return restored[index!].tokens.add(range)
    }

    /// The session, if the user may see it. Throws `unknownSession`.
    func context(_ session: UInt64) throws(LarderError) -> SessionContext {
        let generation = store.views.current(session)
        if let remembered, remembered.context.id == session, remembered.generation == generation {
            return remembered.context
        }
        let shard = try store.shardIndex(of: session)
        // Another user's session is answered like none at all, and before anything of it is followed: neither the answer nor
        // its time tells what others have. A record that is damaged does not say whose it is: it is nobody's.
        let found = try read(shard: shard) { transaction, shard -> (SessionRecord, StoredNamespace, LinePath)? in
            let record = try WordKey(session).withBytes { key in
                try transaction.get(shard.databases.sessions, key).flatMap { value in
                    do { return try SessionRecord(value, key: key) } catch {
                        if principal.isOperator { throw error }
                        return nil
                    }
                }
            }
            guard let record, let namespace = store.catalog.namespace(record.namespaceID), rights(namespace) > .none
            else { return nil }
            return (record, namespace, try LinePath(head: record.head, transaction, shard))
        }
        guard let (record, namespace, path) = found else { throw LarderError.unknown(session: session) }
        if let line = path.damagedLine { store.reportDamage(line: line, session: session) }
        var models: [UInt16: StoredModel] = [:]
        for entry in record.models { models[entry.rank] = store.catalog.model(entry.modelID) }
        let context = SessionContext(
            id: session, shard: shard, record: record, models: models, path: path, namespace: namespace,
            rights: rights(namespace))
        remembered = (context, generation)
        return context
    }

    /// The session of that name, if a model has opened it for its rank: then opening it again writes nothing. Nil if it
    /// must be looked at more closely.
    func session(named name: String, _ namespaceID: UInt32, openedWith model: StoredModel) -> UInt64? {
        let rank = UInt16(model.declaration.rank)
        for shard in store.shards.indices {
            let found: UInt64?? = try? read(shard: shard) { transaction, shard in
                guard let id = try SessionNames.find(transaction, shard, namespaceID, name) else { return nil }
                let record = try WordKey(id).withBytes { key in
                    try transaction.get(shard.databases.sessions, key).map { try SessionRecord($0, key: key) }
                }
                return record?.modelID(rank: rank) == model.id ? id : nil
            }
            if case .some(.some(let id)) = found { return id }
        }
        return nil
    }

    /// A worker asks for a prefix: a turn begins.
    func beginTurn() {
        store.turns.countTurn()
        turn = store.turns.now
    }

    /// What the user may do in a namespace.
    func rights(_ namespace: StoredNamespace) -> AccessRights {
        if let known = knownRights[namespace.id] { return known }
        let rights = store.rights(principal, in: namespace)
        knownRights[namespace.id] = rights
        return rights
    }

    /// The namespace of that name, if the user may see it.
    func namespace(named name: String) -> StoredNamespace? { store.namespace(named: name, visibleTo: principal) }

    /// Throws `unknownSession` unless the user may see the session, `forbidden` if it may only read one that it is to change.
    public func requireAccess(session: UInt64, _ rights: AccessRights = .write) throws(LarderError) {
        let context = try context(session)
        if rights == .write { try context.requireWrite() }
    }

    func blob(_ id: UInt64, _ transaction: borrowing ReadTransaction, _ shard: Shard) throws -> UnsafeRawBufferPointer?
    {
        try BlobLog.find(id, transaction, shard)
    }
}
