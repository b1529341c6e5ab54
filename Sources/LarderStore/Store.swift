import LarderLMDB
import LarderModel
import LarderSystem
import Logging
import Synchronization

/// The chunk store: models, namespaces, sessions and encoded chunks, in one or more LMDB environments under a directory.
///
/// Safe from any thread. Changes go through the shards' writers; ``StoreReader`` reads.
public final class Store: Sendable {
    /// Identity of the store.
    public let id: StoreID
    /// What it was opened with.
    public let configuration: StoreConfiguration

    let shards: [Shard]
    let writers: [ShardWriter]
    let team: CodecTeam
    let prefetcher = Prefetcher()
    let catalog: Catalog
    let log: Logger
    let views = ViewGeneration()
    let leases: LeaseTable
    let turns = TurnClock()
    let quotas: Quotas
    let housekeeper = Housekeeper()
    let speed = PageInSpeed()
    let savings: Savings
    /// Readers made, so far.
    private let readers = Atomic<UInt64>(0)
    /// Requests with hints, so far.
    let hintRequests = Monitor<UInt64>(0)
    /// Held, by name, while a session of that name is made: names are unique over all shards.
    private let naming = (0..<64).map { _ in Monitor<Void>(()) }
    private let damage = Monitor<UInt64>(0)
    private let isClosed = Monitor(false)
    /// The cap in force.
    let cap: Atomic<Int>
    /// Held while the cap is changed.
    let changingCap = Monitor<Void>(())
    /// Held while a backup is made.
    let backingUp = Monitor<Void>(())
    private let lock: LockFile

    /// Opens the store, creating it if the directory holds none.
    ///
    /// Throws ``LarderError``: `storeUnusable` for another format, damage or another holder (named by pid), `storage`
    /// where the file system refuses, `invalidArgument` for the configuration.
    public init(_ configuration: StoreConfiguration, log: Logger) throws(LarderError) {
        try configuration.validate()
        var opened = configuration
        opened.heatCapBytes = configuration.capBytes
        self.configuration = opened
        cap = Atomic(configuration.capBytes)
        self.log = log
        lock = try Self.lock(configuration.directory)
        leases = LeaseTable(now: configuration.now)
        quotas = Quotas(userMaximum: configuration.userDiskBytes)
        (shards, catalog) = try Self.open(opened, leases: leases, quotas: quotas, turns: turns, log: log)
        id = shards[0].storeID
        do { team = try CodecTeam(helpers: configuration.codecHelpers) } catch {
            throw LarderError(.storage, "no threads to encode with: \(error)")
        }
        do { savings = try Savings(shards[0], configuration, log: log) } catch {
            throw LarderError(.storage, "the savings of \(configuration.directory) cannot be read: \(error)")
        }
        var writers: [ShardWriter] = []
        for shard in shards {
            writers.append(
                try ShardWriter(
                    shard, queueBytes: configuration.queueBytes / configuration.shards, configuration, team, views,
                    log: log))
        }
        self.writers = writers
        for namespace in catalog.namespaces { quotas.set(namespace) }
        if configuration.frees {
            try housekeeper.start(self)
            try savings.start(writers[0])
        }
    }

    /// Saves what is remembered of the heat of chunks.
    func saveHeat() {
        for shard in shards {
            do { try shard.heat.save(shard.heatPath) } catch {
                log.warning("the memory of heat was not saved", metadata: ["error": "\(error)"])
            }
        }
    }

    private static func lock(_ directory: String) throws(LarderError) -> LockFile {
        do { try FileSystem.makeDirectory(directory) } catch {
            throw LarderError(.storage, "\(error); give the daemon a directory that it may write")
        }
        // Its own name; where the parent may not be read, it is not ours to see to.
        try? FileSystem.synchronise(FileSystem.resolved("\(directory)/..") ?? "/")
        do throws(LockFile.Failure) { return try LockFile.acquire("\(directory)/larderd.lock") } catch {
            switch error {
            case .held(let pid):
                let holder = pid.map { "process \($0)" } ?? "another process"
                throw LarderError(
                    .storeUnusable,
                    "the store in \(directory) is in use by \(holder); stop it first, or choose another directory")
            case .system(let error):
                throw LarderError(.storage, "\(error); give the daemon a directory that it may write")
            }
        }
    }

    /// Commits all that was accepted, makes it durable, and refuses what comes after. Idempotent.
    public func close() {
        let wasClosed = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return isClosed
        }
        if wasClosed { return }
        prefetcher.stop()
        housekeeper.stop()
        savings.stop()
        for writer in writers.dropFirst() { writer.stop() }
        if configuration.frees {
            // What the queues still hold is counted when it is committed: record it after that, before the last sync.
            try? writers[0].flush()
            recordSavings()
        }
        writers[0].stop()
        if configuration.frees { saveHeat() }
        team.stop()
    }

    /// A number for a reader that no other has.
    func nextReader() -> UInt64 { readers.wrappingAdd(1, ordering: .relaxed).newValue }

    // MARK: models and sessions

    /// The stored model equal to `declaration`, added if there is none.
    public func declare(_ declaration: ModelDeclaration) throws(LarderError) -> StoredModel {
        try catalog.declare(declaration, writers[0])
    }

    /// Models with ids above `after`, in order.
    public func models(after: UInt32) -> [StoredModel] { catalog.models(after: after, limit: Limits.pageEntries) }

    /// Every model, in order of id.
    public var allModels: [StoredModel] { catalog.models(after: 0, limit: Limits.models) }

    /// Opens a session, or creates it. The namespace is created, and then owned by the user, if it does not exist.
    ///
    /// Throws `unknownSession` for what does not exist, and alike for what the user may not see; `forbidden` where it may not
    /// write and the session, or its rank, would have to be made.
    ///
    /// - Parameter reader: the calling thread's; with it, a session that this model has opened before waits for no commit.
    public func openSession(
        namespace: String, name: String, modelID: UInt32, create: Bool, by principal: Principal,
        reader: StoreReader? = nil
    ) throws(LarderError) -> (id: UInt64, created: Bool) {
        try Names.validate(name, what: "session name")
        guard let model = catalog.model(modelID) else {
            throw LarderError(.unknownModel, "there is no model \(modelID); declare the model first")
        }
        try Names.validate(namespace, what: "namespace")
        let space = try self.namespace(toOpen: namespace, create: create, by: principal)
        if let known = reader?.session(named: name, space.id, openedWith: model) { return (known, false) }
        if rights(principal, in: space) < .write {
            let exists = try shard(named: name, space.id) != nil
            throw exists || create ? LarderError.forbidden(namespace: namespace) : LarderError.noSession(named: name)
        }
        let hash = Self.hash(namespace, name)
        return try naming[Int(hash >> 32 % 64)].withLock { _ throws(LarderError) in
            let found = shards.count == 1 ? nil : try self.shard(named: name, space.id)
            let shard = found ?? Int(hash % UInt64(shards.count))
            return try writers[shard].perform(
                OpenSessionMutation(namespaceID: space.id, name: name, model: model, create: create, catalog: catalog))
        }
    }

    /// Makes a session in the same namespace that shares another's past up to `offset`, in the same time however long that
    /// is. Either may be dropped while the other lives. Returns its id.
    ///
    /// Throws `exists` for a name that is taken, `invalidArgument` for an offset beyond the session's end.
    public func fork(session: UInt64, offset: UInt64, name: String, reader: StoreReader) throws(LarderError) -> UInt64 {
        try Names.validate(name, what: "session name")
        let context = try reader.context(session)
        try context.requireWrite()
        let record = context.record
        guard let space = catalog.namespace(record.namespaceID) else { throw LarderError.unknown(session: session) }
        let writer = try writer(of: session)
        return try naming[Int(Self.hash(space.name, name) >> 32 % 64)].withLock { _ throws(LarderError) in
            if try shard(named: name, space.id) != nil { throw LarderError.exists(name) }
            return try writer.perform(
                ForkMutation(parent: session, offset: offset, name: name, catalog: catalog))
        }
    }

    /// FNV-1a: spreads sessions over shards, the same after each restart.
    private static func hash(_ namespace: String, _ name: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in namespace.utf8 + [0] + name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return hash
    }

    /// The shard that has a session of that name. A fork is where its parent is, whatever its name.
    private func shard(named name: String, _ namespaceID: UInt32) throws(LarderError) -> Int? {
        do {
            for shard in shards {
                let transaction = try ReadTransaction(shard.environment)
                try transaction.renew()
                if try SessionNames.find(transaction, shard, namespaceID, name) != nil { return shard.index }
            }
            return nil
        } catch let error as LarderError {
            throw error
        } catch {
            throw LarderError(.storage, "the store could not be read: \(error)")
        }
    }

    /// Forgets a session at once; what only it saw is freed in the background.
    public func drop(session: UInt64) throws(LarderError) {
        try writer(of: session).perform(DropMutation(session: session, counts: catalog.sessionCounts))
    }

    /// Takes every chunk that reaches beyond `offset` out of a session, at once; their bytes are freed in the background,
    /// unless another session sees them.
    public func truncate(session: UInt64, offset: UInt64) throws(LarderError) {
        try writer(of: session).perform(TruncateMutation(session: session, offset: offset))
    }

    /// Makes all that was committed survive power loss.
    public func synchronise() throws(LarderError) {
        for writer in writers { try writer.flush() }
    }

    // MARK: inside

    func shardIndex(of session: UInt64) throws(LarderError) -> Int {
        let index = Int(session % UInt64(Limits.shards))
        guard index < shards.count else {
            throw LarderError(.unknownSession, "there is no session \(session); open it by name")
        }
        return index
    }

    func writer(of session: UInt64) throws(LarderError) -> ShardWriter { writers[try shardIndex(of: session)] }

    /// Counts a line that cannot be followed and says so in the log.
    func reportDamage(line: UInt64, session: UInt64) {
        damage.withLock { $0 += 1 }
        log.error("damaged line", metadata: ["session": "\(session)", "line": "\(line)"])
    }

    /// Counts a damaged chunk and says so in the log.
    func reportDamage(_ key: ChunkKey, session: UInt64, _ reason: String) {
        damage.withLock { $0 += 1 }
        log.error(
            "damaged chunk",
            metadata: [
                "session": "\(session)", "line": "\(key.line)", "component": "\(key.component)",
                "offset": "\(key.offset)",
                "reason": "\(reason)",
            ])
    }

    // MARK: numbers

    /// Counters of the store: names with their unit last.
    public func statistics() -> [(name: String, value: UInt64)] {
        var used = 0
        var files = 0
        var chunks = 0
        var sessions = 0
        var lines = 0
        var graves = 0
        for shard in shards {
            guard let transaction = try? ReadTransaction(shard.environment), (try? transaction.renew()) != nil else {
                continue
            }
            used += ((try? shard.usedPages(transaction)) ?? 0) * 4_096
            chunks += (try? transaction.statistics(shard.databases.blobs).entries) ?? 0
            lines += (try? transaction.statistics(shard.databases.lines).entries) ?? 0
            graves += (try? transaction.statistics(shard.databases.graveyard).entries) ?? 0
            sessions += (try? transaction.statistics(shard.databases.sessions).entries) ?? 0
            files += FileSystem.size("\(configuration.directory)/shard-\(shard.index)/data.mdb") ?? 0
            files += FileSystem.size("\(configuration.directory)/shard-\(shard.index)/lock.mdb") ?? 0
        }
        files += FileSystem.size("\(configuration.directory)/larderd.lock") ?? 0
        let counts = catalog.counts
        let backlog = writers.map(\.backlog)
        let done = writers.map(\.done)
        return [
            ("cap_bytes", UInt64(capBytes)), ("disk_bytes", UInt64(diskBytes)), ("file_bytes", UInt64(files)),
            ("used_bytes", UInt64(used)), ("usable_bytes", UInt64(shards.reduce(0) { $0 + $1.usablePages * 4_096 })),
            ("shards_without_holes", UInt64(shards.count { $0.space.cannotGiveBack })),
            ("set_aside_bytes", UInt64(SetAside.bytes(in: configuration.directory))),
            ("shards", UInt64(shards.count)), ("models", UInt64(counts.models)),
            ("namespaces", UInt64(counts.namespaces)), ("sessions", UInt64(sessions)), ("lines", UInt64(lines)),
            ("blobs", UInt64(chunks)),
            ("graves", UInt64(graves)),
            ("queue_bytes", UInt64(backlog.reduce(0) { $0 + $1.bytes })),
            ("queue_mutations", UInt64(backlog.reduce(0) { $0 + $1.mutations })),
            ("commits", done.reduce(0) { $0 + $1.commits }), ("syncs", done.reduce(0) { $0 + $1.syncs }),
            ("blobs_freed", done.reduce(0) { $0 + $1.blobsFreed }), ("leased_blobs", UInt64(leases.count)),
            ("put_bytes", done.reduce(0) { $0 + $1.putBytes }), ("swept_bytes", done.reduce(0) { $0 + $1.sweptBytes }),
            ("moved_bytes", done.reduce(0) { $0 + $1.movedBytes }),
        ]
            + hintStatistics
            + EvictionRule.allCases.map { rule in
                ("evicted_\(rule.name)_chunks", done.reduce(0) { $0 + ($1.evicted[rule]) })
            } + [
                ("device_write_bytes", housekeeper.deviceBytes), ("damaged_chunks", damage.withLock { $0 }),
                ("sweeping_shards", UInt64(writers.count { $0.isSweeping })),
            ]
    }
}
