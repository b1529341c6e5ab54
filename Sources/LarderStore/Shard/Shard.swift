import LarderLMDB
import LarderModel
import LarderSystem

/// One LMDB environment of a store, its databases and its identity. Its writer is ``ShardWriter``.
///
/// A log, as far as LMDB is one: a chunk's bytes are one value under an ascending blob id, and the index that finds it
/// is a small database written in the same transaction (Docs/FORMAT.md, "Store").
final class Shard: Sendable {
    /// Version of the layout of databases and records.
    static let formatVersion: UInt32 = 3
    static let databaseCount = 18

    let index: Int
    let directory: String
    let environment: Environment
    let databases: Databases
    let storeID: StoreID
    let space: ShardSpace
    private let watermarks: Watermarks
    /// Blobs that must not be evicted now; one table for all shards.
    let leases: LeaseTable
    /// What namespaces take, in all shards.
    let quotas: Quotas
    /// How likely its chunks are to be wanted.
    let heat: HeatTracker
    /// What of it workers asked to be kept.
    let retentions: RetentionTable

    /// The databases of an environment. Keys of all but `blobs` sort as bytes.
    struct Databases: Sendable {
        /// "format" and "counters".
        let meta: Database
        /// Model id to declaration; shard 0 only.
        let models: Database
        /// Namespace id to owner and name; shard 0 only.
        let namespaces: Database
        /// Session id to ``SessionRecord``.
        let sessions: Database
        /// Namespace id and session name to session id.
        let names: Database
        /// Line id to ``LineRecord``.
        let lines: Database
        /// A line and its child to ``LineChild``.
        let children: Database
        /// ``ChunkKey`` to ``ChunkRecord``.
        let chunks: Database
        /// ``ChunkKey`` of a chunk that was evicted to ``Tombstone``.
        let tombstones: Database
        /// ``PrefixPlace`` to ``PrefixRecord``.
        let prefixes: Database
        /// Blob id (big-endian) to the ``PrefixPlace`` that names it.
        let shared: Database
        /// Blob id to a stored chunk (Docs/FORMAT.md, "Chunk").
        let blobs: Database
        /// Blob id and ``ChunkKey`` of each chunk that is it (``BlobOwner``) to nothing.
        let owners: Database
        /// Blob id of a blob that the sweep has moved to where it is now in `blobs`.
        let moved: Database
        /// Namespace id to what it takes of this shard.
        let usage: Database
        /// What restoring state has saved, by hour.
        let savings: Database
        /// What is out of reach and not freed yet: ``Grave`` to nothing.
        let graveyard: Database

        static let names = [
            "meta", "models", "namespaces", "sessions", "names", "lines", "children", "chunks", "tombstones",
            "prefixes", "shared", "blobs", "owners", "moved", "usage", "savings", "graveyard",
        ]

        init(_ transaction: borrowing WriteTransaction) throws(LMDBError) {
            meta = try transaction.open("meta", keys: .bytes)
            models = try transaction.open("models", keys: .bytes)
            namespaces = try transaction.open("namespaces", keys: .bytes)
            sessions = try transaction.open("sessions", keys: .bytes)
            names = try transaction.open("names", keys: .bytes)
            lines = try transaction.open("lines", keys: .bytes)
            children = try transaction.open("children", keys: .bytes)
            chunks = try transaction.open("chunks", keys: .bytes)
            tombstones = try transaction.open("tombstones", keys: .bytes)
            prefixes = try transaction.open("prefixes", keys: .bytes)
            shared = try transaction.open("shared", keys: .bytes)
            blobs = try transaction.open("blobs", keys: .integers)
            owners = try transaction.open("owners", keys: .bytes)
            moved = try transaction.open("moved", keys: .bytes)
            usage = try transaction.open("usage", keys: .bytes)
            savings = try transaction.open("savings", keys: .bytes)
            graveyard = try transaction.open("graveyard", keys: .bytes)
        }

        var all: [Database] {
            [
                meta, models, namespaces, sessions, names, lines, children, chunks, tombstones, prefixes, shared, blobs,
                owners, moved, usage, savings, graveyard,
            ]
        }
    }

    /// Opens or creates the shard in `directory`, after checking what is there.
    ///
    /// - Parameter identity: what it begins with if it is new.
    init(
        index: Int, directory: String, configuration: StoreConfiguration, _ identity: Identity, leases: LeaseTable,
        quotas: Quotas, turns: TurnClock
    ) throws(OpeningFailure) {
        self.index = index
        self.leases = leases
        self.quotas = quotas
        watermarks = configuration.watermarks
        heat = HeatTracker(configuration.sweepRule, turns)
        retentions = RetentionTable(now: configuration.now)
        self.directory = directory
        let path = "\(directory)/data.mdb"
        do throws(any Error) {
            try FileSystem.makeDirectory(directory)
            if configuration.frees {
                try? FileSystem.remove(Compaction.path(directory))
                FileSystem.removeTree(Self.workshop(directory))
            }
            if FileSystem.size(path) ?? 0 == 0 {
                guard configuration.frees else { throw LarderError(.storeUnusable, "\(path) holds nothing") }
                try Self.create(directory, index: index, identity, configuration)
            }
            let found = try FileCheck.check(path: path)
            try Self.requireOurs(found, path: path)
            let filePages = try Self.prepare(directory, found, configuration)
            try FileSpace.reserve("\(directory)/lock.mdb", bytes: configuration.lockBytes)
            // A file that is to be lowered may have no free page, and what frees needs some.
            let isLonger = filePages * 4_096 > configuration.mapBytes
            environment = try Environment(
                path: directory,
                mapBytes: isLonger ? (filePages + Limits.sparePages) * 4_096 : configuration.mapBytes,
                databases: Self.databaseCount, readers: configuration.readers)
            try environment.clearStaleReaders()
            space = ShardSpace(
                partBytes: configuration.partBytes, filePages: try environment.information().mapBytes / 4_096)
            let transaction = try WriteTransaction(environment)
            databases = try Databases(transaction)
            storeID = try Self.identify(
                transaction, databases.meta, path: path, index: index, shards: configuration.shards)
            let counters = try WriteContext.Counters(transaction, databases.meta)
            if configuration.frees {
                try Self.removeStrayBlobs(transaction, databases.blobs, next: counters.nextBlobID)
            }
            try NamespaceUsage.forEach(transaction, databases.usage) { quotas.set($1, of: $0, shard: index) }
            try transaction.commit()
            heat.load(heatPath)
        } catch {
            throw Self.openingFailure(error, path)
        }
    }

    /// Throws unless an existing file holds exactly our databases: a damaged name would look like an empty database.
    private static func requireOurs(_ report: FileCheck.Report, path: String) throws(OpeningFailure) {
        let names = report.databases.map(\.name).sorted()
        // More than ours may be a later format, which names itself.
        if Set(names).isSuperset(of: Databases.names) { return }
        // A damaged name leaves as many as there were; another format has more or fewer.
        let isOurs =
            names.count == Databases.names.count
            && 2 * Set(names).intersection(Databases.names).count >= Databases.names.count
        let held = names.isEmpty ? "nothing" : names.joined(separator: ", ").clipped
        throw OpeningFailure(
            error: LarderError(
                .storeUnusable,
                isOurs
                    ? "\(path) is damaged: it lacks some of a store's databases and holds \(held)"
                    : "\(path) is an LMDB file, but no store of format \(formatVersion): it holds \(held); choose another "
                        + "directory, or a program that reads it"),
            isDamage: isOurs)
    }

    /// Brings a data file that is longer than the cap leaves it down as far as that can be done before it is open, and
    /// returns the pages that it has. Throws `storeUnusable` if the cap is too small even to lower it to.
    private static func prepare(
        _ directory: String, _ report: FileCheck.Report, _ configuration: StoreConfiguration
    ) throws -> Int {
        let path = "\(directory)/data.mdb"
        let pages = report.pages
        guard pages > 0, configuration.frees else { return pages }
        // What lies behind the last page was left by a commit that failed.
        if let size = FileSystem.size(path), size > pages * 4_096 { try FileSpace.cut(path, to: pages * 4_096) }
        guard pages * 4_096 > configuration.mapBytes else { return pages }
        let shorter = Compaction.run(directory, pages: pages, usedPages: report.pagesInUse, configuration)
        try configuration.requireWorkable(path: path, filePages: shorter ?? pages)
        return shorter ?? pages
    }

    /// Checks the format record.
    private static func identify(
        _ transaction: borrowing WriteTransaction, _ meta: Database, path: String, index: Int, shards: Int
    ) throws -> StoreID {
        return try formatKey.withUnsafeBytes { key in
            guard let value = try transaction.get(meta, key) else {
                throw LarderError(.damaged, "\(path) is damaged: it has no format record")
            }
            var reader = try Record.open(value, key: key, "format")
            let version = try reader.read(UInt32.self, "format version")
            guard version == formatVersion else {
                throw LarderError(
                    .storeUnusable,
                    "\(path) has store format \(version); this program reads \(formatVersion). Use a program that "
                        + "reads it, or move the store aside"
                )
            }
            let storedIndex = try reader.read(UInt32.self, "shard index")
            let storedShards = try reader.read(UInt32.self, "shard count")
            guard storedIndex == UInt32(index), storedShards == UInt32(shards) else {
                throw LarderError(
                    .storeUnusable,
                    "\(path) is shard \(storedIndex) of \(storedShards), where shard \(index) of \(shards) was "
                        + "expected; set shards to \(storedShards)"
                )
            }
            return StoreID(
                high: try reader.read(UInt64.self, "store id"), low: try reader.read(UInt64.self, "store id"))
        }
    }

    /// Pages that data takes, free ones not counted.
    func usedPages(_ transaction: borrowing some Transaction & ~Copyable) throws(LMDBError) -> Int {
        var pages = try transaction.ownPages() &+ 2
        // LMDB's counts lie in the map, where a disk may damage them under a running daemon.
        for database in databases.all { pages = pages &+ (try transaction.statistics(database).pages) }
        return min(max(0, pages), Limits.capBytes / 4_096)
    }

    /// The file that keeps its memory of heat.
    var heatPath: String { "\(directory)/heat" }

    /// Pages in use above which the sweep begins, and down to which it goes.
    var highPages: Int { Int(Double(usablePages) * watermarks.high) }
    /// See ``highPages``.
    var lowPages: Int { Int(Double(usablePages) * watermarks.low) }
}

/// What waits to be freed.
enum Grave {
    /// A line that may have chunks which nobody sees.
    case line(UInt64)

    var words: WordKey {
        switch self {
        case .line(let id): WordKey(1, id)
        }
    }

    init?(_ key: UnsafeRawBufferPointer) {
        guard key.count == 16 else { return nil }
        switch WordKey.word(key, 0) {
        case 1: self = .line(WordKey.word(key, 1))
        default: return nil
        }
    }
}
