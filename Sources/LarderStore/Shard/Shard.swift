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
    private static let databaseCount = 18

    let index: Int
    let directory: String
    let environment: Environment
    let databases: Databases
    let storeID: StoreID
    let mapPages: Int
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
    /// - Parameter storeID: the id that the other shards have, or a new one for shard 0 of a new store.
    init(
        index: Int, directory: String, configuration: StoreConfiguration, storeID proposed: StoreID, leases: LeaseTable,
        quotas: Quotas, turns: TurnClock
    ) throws(LarderError) {
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
            let exists = (FileSystem.size(path) ?? 0) > 0
            let found = try FileCheck.check(path: path)
            try Self.requireOurs(found, path: path)
            if let size = FileSystem.size(path), size > configuration.mapBytes {
                throw LarderError(
                    .storeUnusable,
                    "\(path) has \(size) bytes, more than the \(configuration.mapBytes) that the cap leaves it; "
                        + "raise the cap, or move the store aside"
                )
            }
            environment = try Environment(
                path: directory, mapBytes: configuration.mapBytes, databases: Self.databaseCount,
                readers: configuration.readers)
            try environment.clearStaleReaders()
            mapPages = try environment.information().mapBytes / 4_096
            let transaction = try WriteTransaction(environment)
            databases = try Databases(transaction)
            storeID = try Self.identify(
                transaction, databases.meta, exists: exists, path: path, index: index, shards: configuration.shards,
                proposed: proposed)
            try NamespaceUsage.forEach(transaction, databases.usage) { quotas.set($1, of: $0, shard: index) }
            try transaction.commit()
            heat.load(heatPath)
        } catch {
            throw Self.openingError(error, path)
        }
    }

    /// Throws unless an existing file holds exactly our databases: a damaged name would look like an empty database.
    private static func requireOurs(_ report: FileCheck.Report, path: String) throws(LarderError) {
        guard report.pagesInUse > 0, !report.databases.isEmpty else { return }
        let names = report.databases.map(\.name).sorted()
        // More than ours may be a later format, which names itself.
        guard Set(names).isSuperset(of: Databases.names) else {
            throw LarderError(
                .storeUnusable,
                "\(path) is an LMDB file, but no Larder store: it holds \(names.joined(separator: ", ").clipped); "
                    + "choose another directory"
            )
        }
    }

    private static func openingError(_ error: any Error, _ path: String) -> LarderError {
        switch error {
        case let error as LarderError: error
        case let error as FileCheck.Failure:
            LarderError(.storeUnusable, "\(error); move the store aside, or restore a copy of it")
        case let error as SystemError: LarderError(.storage, "\(error); give the daemon a directory that it may write")
        default: LarderError(.storage, "\(path): \(error)")
        }
    }

    /// Checks the format record, or writes it into a new environment.
    private static func identify(
        _ transaction: borrowing WriteTransaction, _ meta: Database, exists: Bool, path: String, index: Int,
        shards: Int,
        proposed: StoreID
    ) throws -> StoreID {
        let key = Array("format".utf8)
        return try key.withUnsafeBytes { key in
            guard let value = try transaction.get(meta, key) else {
                if exists {
                    throw LarderError(
                        .storeUnusable, "\(path) is an LMDB file, but no Larder store; choose another directory")
                }
                var writer = ByteWriter()
                writer.write(formatVersion)
                writer.write(UInt32(index))
                writer.write(UInt32(shards))
                writer.write(proposed.high)
                writer.write(proposed.low)
                try Record.seal(writer, key: key).withUnsafeBytes { try transaction.put(meta, key, $0) }
                return proposed
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
        var pages = try transaction.ownPages() + 2
        for database in databases.all { pages += try transaction.statistics(database).pages }
        return pages
    }

    /// Pages that data may take: the rest is what LMDB needs to copy pages that it changes.
    var usablePages: Int {
        mapPages - max(mapPages / Limits.sparePart, min(mapPages / Limits.sparePartSmall, Limits.sparePages))
    }

    /// The file that keeps its memory of heat.
    var heatPath: String { "\(directory)/heat" }

    /// Pages in use above which the sweep begins, and down to which it goes.
    var highPages: Int { Int(Double(usablePages) * watermarks.high) }
    /// See ``highPages``.
    var lowPages: Int { Int(Double(usablePages) * watermarks.low) }

    /// Bytes that one transaction commits together, unless a single chunk is larger: few enough that what it frees, which
    /// can be used two commits later, is not missed.
    var batchBytes: Int { min(Limits.bytesPerCommit, max(mapPages * 4_096 / 32, 256 << 10)) }
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
