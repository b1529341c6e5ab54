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
    private var place: SessionPlace
    /// True if the session is one more of its namespace.
    private var isNew = false

    init(namespaceID: UInt32, name: String, model: StoredModel, create: Bool, catalog: Catalog) {
        place = SessionPlace(catalog)
        self.namespaceID = namespaceID
        self.name = name
        self.model = model
        self.create = create
        self.catalog = catalog
    }

    func apply(_ context: inout WriteContext) throws {
        isNew = false
        let rank = UInt16(model.declaration.rank)
        let known = try? SessionNames.find(context.transaction, context.shard, namespaceID, name)
        if let id = known, var record = try? context.session(id) {
            try catalog.requireMatch(record, name: name, model: model)
            if record.modelID(rank: rank) == nil {
                record.models.append((rank, model.id))
                record.models.sort { $0.rank < $1.rank }
                try context.put(record, session: id)
                context.changedSessions.append(id)
            }
            value = (id, false)
            return
        }
        guard create else {
            throw LarderError.noSession(named: name)
        }
        if try !SessionNames.isTaken(context.transaction, context.shard, namespaceID, name) {
            try place.take(namespaceID)
            isNew = true
        }
        guard context.takeRoom(bytes: 4_096) else { throw LarderError.capReached }
        if let lost = known {
            // The name leads to a record that is damaged: its state is out of reach.
            _ = try WordKey(lost).withBytes { try context.transaction.delete(context.shard.databases.sessions, $0) }
        }
        let id = context.takeSessionID()
        let head = try context.makeLine(on: nil, head: id, namespaceID: namespaceID)
        var record = SessionRecord(
            namespaceID: namespaceID, name: name, head: head, createdSeconds: Clock.wallSeconds())
        record.models = [(rank, model.id)]
        try context.put(record, session: id)
        try SessionNames.put(context, namespaceID, name, session: id)
        value = (id, true)
    }

    override func complete(_ failure: LarderError?) {
        place.settle(isUsed: isNew && failure == nil)
        super.complete(failure)
    }
}

/// Forgets a session: its record goes now, what only it saw when the writer finds time.
final class DropMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let session: UInt64
    var orderedSession: UInt64? { session }
    private let counts: SessionCounts
    /// The namespace that then has a session less.
    private var left: UInt32?
    private var behind: LeftBehind?

    init(session: UInt64, counts: SessionCounts) {
        self.session = session
        self.counts = counts
    }

    func apply(_ context: inout WriteContext) throws {
        left = nil
        guard let record = try context.session(session) else { throw LarderError.unknown(session: session) }
        behind = try context.leftBehind(by: session, head: record.head, at: 0)
        if try context.forget(session, record) { left = record.namespaceID }
        value = ()
    }

    override func complete(_ failure: LarderError?) {
        if failure == nil {
            if let left { counts.remove(left) }
            behind?.loseWeight()
        }
        super.complete(failure)
    }
}

extension WriteContext {
    /// Takes a session out of the store. Returns whether its name led to it, as it should.
    mutating func forget(_ session: UInt64, _ record: SessionRecord) throws -> Bool {
        _ = try WordKey(session).withBytes { try transaction.delete(shard.databases.sessions, $0) }
        let hadName = try SessionNames.delete(self, record.namespaceID, record.name)
        try leave(record.head)
        changedSessions.append(session)
        return hadName
    }
}

/// Hides what reaches beyond an offset from a session, in the same time however much it is.
final class TruncateMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let session: UInt64
    var orderedSession: UInt64? { session }
    private let offset: UInt64
    private var behind: LeftBehind?

    init(session: UInt64, offset: UInt64) {
        self.session = session
        self.offset = offset
    }

    func apply(_ context: inout WriteContext) throws {
        guard var record = try context.session(session) else { throw LarderError.unknown(session: session) }
        behind = try context.leftBehind(by: session, head: record.head, at: offset)
        let head = try context.cut(session, head: record.head, at: offset)
        if head != record.head {
            record.head = head
            try context.put(record, session: session)
        }
        value = ()
    }

    override func complete(_ failure: LarderError?) {
        if failure == nil { behind?.loseWeight() }
        super.complete(failure)
    }
}

/// Makes a session that shares another's past up to an offset, in the same time however long that is.
final class ForkMutation: AwaitedMutation<UInt64>, Mutation, @unchecked Sendable {
    private let parent: UInt64
    var orderedSession: UInt64? { parent }
    private let offset: UInt64
    private let name: String
    private let catalog: Catalog
    private var place: SessionPlace
    private var isDone = false
    private var behind: LeftBehind?

    init(parent: UInt64, offset: UInt64, name: String, catalog: Catalog) {
        self.parent = parent
        self.offset = offset
        self.name = name
        self.catalog = catalog
        place = SessionPlace(catalog)
    }

    func apply(_ context: inout WriteContext) throws {
        isDone = false
        guard let record = try context.session(parent) else { throw LarderError.unknown(session: parent) }
        guard try SessionNames.find(context.transaction, context.shard, record.namespaceID, name) == nil else {
            throw LarderError.exists(name)
        }
        let end = try end(of: record, context)
        guard offset <= end else {
            throw LarderError(
                .invalidArgument,
                "session '\(record.name.clipped)' ends at \(end) tokens; it cannot be forked at \(offset)")
        }
        guard context.takeRoom(bytes: 4_096) else { throw LarderError.capReached }
        let seen = try context.view(from: record.head, upTo: offset)
        guard seen.map({ Int($0.depth) }) ?? 0 < Limits.forkDepth else {
            throw LarderError(
                .invalidArgument,
                "session '\(record.name.clipped)' is \(Limits.forkDepth) forks deep, the limit; fork one of its parents"
            )
        }
        try place.take(record.namespaceID)
        if offset < end { behind = try context.leftBehind(by: parent, head: record.head, at: offset) }
        let id = context.takeSessionID()
        var fork = SessionRecord(
            namespaceID: record.namespaceID, name: name,
            head: try context.makeLine(on: seen, head: id, namespaceID: record.namespaceID),
            createdSeconds: Clock.wallSeconds())
        fork.models = record.models
        fork.ttlSeconds = record.ttlSeconds
        try context.put(fork, session: id)
        try SessionNames.put(context, record.namespaceID, name, session: id)
        isDone = true
        value = id
    }

    override func complete(_ failure: LarderError?) {
        place.settle(isUsed: isDone && failure == nil)
        if failure == nil { behind?.loseWeight() }
        super.complete(failure)
    }

    /// The offset at which the session's last chunk ends.
    private func end(of record: SessionRecord, _ context: borrowing WriteContext) throws -> UInt64 {
        var tracks: [(rank: UInt16, component: UInt8)] = []
        for model in record.models {
            let count = catalog.model(model.modelID)?.declaration.components.count ?? 0
            tracks += (0..<count).map { (model.rank, UInt8($0)) }
        }
        var end: UInt64 = 0
        var line = record.head
        var view = LineView()
        // What lies beyond the view is not seen, and what lies below `end` is of no interest.
        while line != 0, view.limit > end {
            guard let segment = try context.line(line) else { throw context.damaged(line: line) }
            for track in tracks {
                end = max(end, try context.lastEnd(line, track.rank, track.component, view))
            }
            view = view.through(segment.view)
            line = segment.parent
        }
        return end
    }
}

extension LarderError {
    static func unknown(session: UInt64) -> LarderError {
        LarderError(.unknownSession, "session \(session) is not stored; it may have been dropped")
    }

    static func noSession(named name: String) -> LarderError {
        LarderError(.unknownSession, "there is no session '\(name.clipped)'; open it with create to make it")
    }

    static var capReached: LarderError {
        LarderError(
            .full,
            "the store has reached its cap, and all that is stored is of this session, pinned, under lease or reserved; "
                + "release pins, drop sessions that are not wanted, or raise the cap")
    }

    static func userQuotaReached(_ userID: UInt32, _ maximum: UInt64) -> LarderError {
        LarderError(
            .full,
            "the namespaces of user \(userID) may take \(maximum) bytes together, and all that this one has is of this "
                + "session, pinned or under lease; drop sessions that are not wanted, or have the operator raise user_disk"
        )
    }

    static func quotaReached(_ maximum: UInt64) -> LarderError {
        LarderError(
            .full,
            "the namespace may take \(maximum) bytes, and all that it has is of this session, pinned or under lease; drop "
                + "sessions that are not wanted, or have the operator raise max_bytes")
    }

    static func exists(_ name: String) -> LarderError {
        LarderError(.exists, "there is a session '\(name.clipped)' already; choose another name, or drop it first")
    }
}

/// Sets what a session has of its own in place of its namespace's policy.
final class ConfigureSessionMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let session: UInt64
    var orderedSession: UInt64? { session }
    private let ttlSeconds: UInt32

    init(session: UInt64, ttlSeconds: UInt32) {
        self.session = session
        self.ttlSeconds = ttlSeconds
    }

    func apply(_ context: inout WriteContext) throws {
        guard var record = try context.session(session) else { throw LarderError.unknown(session: session) }
        record.ttlSeconds = ttlSeconds
        // As large as the one that it replaces: it needs no room.
        try context.put(record, session: session)
        context.changedSessions.append(session)
        value = ()
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

    /// The namespace that a key belongs to.
    static func namespaceID(_ key: UnsafeRawBufferPointer) -> UInt32? {
        key.count < 4 ? nil : UInt32(bigEndian: key.loadUnaligned(as: UInt32.self))
    }

    /// True if there is such a name, be its record whole or damaged.
    static func isTaken(
        _ transaction: borrowing some Transaction & ~Copyable, _ shard: Shard, _ namespaceID: UInt32, _ name: String
    ) throws -> Bool {
        try key(namespaceID, name).withUnsafeBytes { try transaction.get(shard.databases.names, $0) != nil }
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

    /// Returns false if there was no such name.
    static func delete(_ context: borrowing WriteContext, _ namespaceID: UInt32, _ name: String) throws -> Bool {
        try key(namespaceID, name).withUnsafeBytes {
            try context.transaction.delete(context.shard.databases.names, $0)
        }
    }
}
