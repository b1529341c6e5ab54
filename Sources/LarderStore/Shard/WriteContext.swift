import LarderCodec
import LarderLMDB
import LarderModel
import LarderSystem

/// What a mutation works with: the transaction and the shard's counters, which are written before the commit.
struct WriteContext: ~Copyable {
    let shard: Shard
    let transaction: WriteTransaction
    /// The writer's own.
    let scratch: CodecScratch
    private let claims: EvictionClaims
    private(set) var counters: Counters
    /// Sessions of which something was changed that readers remember (``ViewGeneration``).
    var changedSessions: [UInt64] = []
    /// What changes of what namespaces take.
    var usage = UsageChange()
    /// True if there is more to free now.
    private(set) var hasGraves = false
    /// Pages that data takes, about: counted at the start, and changed with what is written and freed.
    private(set) var usedPages: Int
    private let usedBefore: Int
    private var smallBytes = 0

    /// Numbers that must never go back.
    struct Counters: Equatable {
        var nextBlobID: UInt64 = 1
        var nextSession: UInt64 = 1
        var nextLine: UInt64 = 1
        /// Counts commits that exist only to make pages reusable.
        var emptyCommits: UInt64 = 0
    }

    private init(
        _ shard: Shard, _ transaction: consuming WriteTransaction, _ scratch: CodecScratch, _ counters: Counters,
        usedPages: Int
    ) {
        self.shard = shard
        self.transaction = transaction
        self.scratch = scratch
        self.counters = counters
        claims = EvictionClaims(shard.leases)
        self.usedPages = usedPages
        usedBefore = usedPages
    }

    /// Begins a transaction on a shard.
    static func begin(_ shard: Shard, _ scratch: CodecScratch) throws -> WriteContext {
        let transaction = try WriteTransaction(shard.environment)
        let usedPages = try shard.usedPages(transaction)
        let counters = try Counters(transaction, shard.databases.meta)
        return WriteContext(shard, transaction, scratch, counters, usedPages: usedPages)
    }

    /// Writes the counters and what namespaces take, and commits. Throws ``BlockShortage`` where the cap leaves no room.
    consuming func commit(_ purpose: CommitPurpose = .frees) throws {
        try usage.apply(transaction, shard)
        try counters.put(transaction, shard.databases.meta)
        try shard.requireBlocks(transaction, purpose, usedPages: usedBefore)
        let claims = claims
        let usage = usage
        let home = shard
        try transaction.commit()
        home.quotas.add(usage, shard: home.index)
        // Now, and not before, may a resume lease what it finds.
        withExtendedLifetime(claims) {}
    }

    /// A new blob id.
    mutating func takeBlobID() -> UInt64 {
        defer { counters.nextBlobID += 1 }
        return counters.nextBlobID
    }

    /// A new line id.
    mutating func takeLineID() -> UInt64 {
        defer { counters.nextLine += 1 }
        return counters.nextLine
    }

    /// A new session id: a number of the shard's, and the shard in the low bits.
    mutating func takeSessionID() -> UInt64 {
        defer { counters.nextSession += 1 }
        return counters.nextSession * UInt64(Limits.shards) + UInt64(shard.index)
    }

    /// Makes the commit one that changes something.
    mutating func countEmptyCommit() { counters.emptyCommits += 1 }

    /// Counts the pages of a new value against what the shard may hold; false if there is no room.
    mutating func takeRoom(bytes: Int) -> Bool {
        // A value of over half a page has pages of its own; smaller ones share leaves, which are at least half full.
        let small = bytes + Self.indexBytes
        let pages = bytes > 2_000 ? (bytes + 16 + 4_095) / 4_096 : 0
        let shared = smallBytes + (bytes > 2_000 ? Self.indexBytes : small)
        // One session that fills the store must not keep others from being opened.
        let kept = pages > 0 ? Limits.recordPages : 0
        guard usedPages + pages + shared / 2_048 + 1 + kept <= shard.usablePages else { return false }
        usedPages += pages
        smallBytes = shared
        return true
    }

    /// Counts the pages of a value that was deleted.
    mutating func returnRoom(bytes: Int) { if bytes > 2_000 { usedPages -= (bytes + 16 + 4_095) / 4_096 } }

    /// What a value's entry in the index takes, about.
    private static let indexBytes = 160

    // MARK: records

    func session(_ id: UInt64) throws -> SessionRecord? {
        try WordKey(id).withBytes { key in
            try transaction.get(shard.databases.sessions, key).map { try SessionRecord($0, key: key) }
        }
    }

    func put(_ record: SessionRecord, session id: UInt64) throws {
        try WordKey(id).withBytes { key in
            try record.sealed(key: key).withUnsafeBytes { try transaction.put(shard.databases.sessions, key, $0) }
        }
    }

    func line(_ id: UInt64) throws -> LineRecord? {
        try WordKey(id).withBytes { key in
            try transaction.get(shard.databases.lines, key).map { try LineRecord($0, key: key) }
        }
    }

    func put(_ record: LineRecord, line id: UInt64) throws {
        try WordKey(id).withBytes { key in
            try record.sealed(key: key).withUnsafeBytes { try transaction.put(shard.databases.lines, key, $0) }
        }
    }

    func put(_ record: ChunkRecord, _ chunk: ChunkKey) throws {
        try chunk.words.withBytes { key in
            try record.sealed(key: key).withUnsafeBytes { try transaction.put(shard.databases.chunks, key, $0) }
        }
    }

    /// Claims a blob for eviction by this transaction; false while it is under lease.
    func claim(_ blobID: UInt64) -> Bool { claims.take(LeaseTable.Blob(shard: shard.index, id: blobID)) }

    mutating func bury(_ grave: Grave) throws {
        hasGraves = true
        try grave.words.withBytes { key in
            try transaction.put(shard.databases.graveyard, key, UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }
}

extension WriteContext.Counters {
    private static let key = Array("counters".utf8)

    /// Reads them. Throws ``LarderError`` with ``ErrorCode/damaged``: without them, numbers would be given twice.
    init(_ transaction: borrowing WriteTransaction, _ meta: Database) throws {
        self = try Self.key.withUnsafeBytes { key in
            guard let value = try transaction.get(meta, key) else {
                throw LarderError(.damaged, "the store's counters are missing")
            }
            var counters = Self()
            var reader = try Record.open(value, key: key, "counters")
            counters.nextBlobID = try reader.read(UInt64.self, "next blob id")
            counters.nextSession = try reader.read(UInt64.self, "next session")
            counters.nextLine = try reader.read(UInt64.self, "next line")
            counters.emptyCommits = try reader.read(UInt64.self, "empty commits")
            return counters
        }
    }

    /// Writes them.
    func put(_ transaction: borrowing WriteTransaction, _ meta: Database) throws {
        var writer = ByteWriter()
        writer.write(nextBlobID)
        writer.write(nextSession)
        writer.write(nextLine)
        writer.write(emptyCommits)
        try Self.key.withUnsafeBytes { key in
            try Record.seal(writer, key: key).withUnsafeBytes { try transaction.put(meta, key, $0) }
        }
    }
}
