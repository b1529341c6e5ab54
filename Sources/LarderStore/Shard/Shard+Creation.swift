import LarderLMDB
import LarderModel
import LarderSystem

/// Why a shard was not opened, and whether what is stored there is damaged: if so, it can be set aside.
struct OpeningFailure: Error {
    let error: LarderError
    let isDamage: Bool
}

extension Shard {
    /// What a store's shards have in common, and where a new one begins.
    struct Identity {
        /// The id that the other shards have, or a new one for shard 0 of a new store.
        var storeID: StoreID
        /// The number of its first session.
        var firstSession: UInt64 = 1

        /// Of a shard that takes the place of one that is lost: its sessions get no number that the lost one gave, unless it
        /// made 4,096 a second ever since 1970. They stay below 2^53, which all that reads JSON can count to.
        func replacing() -> Identity { Identity(storeID: storeID, firstSession: Clock.wallSeconds() << 12) }
    }

    /// Makes a shard's data file, whole or not at all: it is made elsewhere and moved to its place when it is on the disk,
    /// so that a crash or an error on the way leaves nothing that looks like a damaged store.
    static func create(
        _ directory: String, index: Int, _ identity: Identity, _ configuration: StoreConfiguration
    ) throws {
        let workshop = workshop(directory)
        FileSystem.removeTree(workshop)
        defer { FileSystem.removeTree(workshop) }
        try FileSystem.makeDirectory(workshop)
        try write(workshop, index: index, identity, configuration)
        try FileSpace.replace("\(directory)/data.mdb", with: "\(workshop)/data.mdb")
    }

    /// Where a data file is made.
    static func workshop(_ directory: String) -> String { "\(directory)/new" }

    private static func write(
        _ workshop: String, index: Int, _ identity: Identity, _ configuration: StoreConfiguration
    ) throws {
        let environment = try Environment(
            path: workshop, mapBytes: configuration.mapBytes, databases: databaseCount, readers: 1)
        let transaction = try WriteTransaction(environment)
        let databases = try Databases(transaction)
        try formatKey.withUnsafeBytes { key in
            var writer = ByteWriter()
            writer.write(formatVersion)
            writer.write(UInt32(index))
            writer.write(UInt32(configuration.shards))
            writer.write(identity.storeID.high)
            writer.write(identity.storeID.low)
            try Record.seal(writer, key: key).withUnsafeBytes { try transaction.put(databases.meta, key, $0) }
        }
        var counters = WriteContext.Counters()
        counters.nextSession = identity.firstSession
        try counters.put(transaction, databases.meta)
        try transaction.commit()
        try environment.synchronise()
    }

    /// Removes blobs whose ids were never given. A damaged key that is still in order leads to one; nothing could be
    /// appended behind it.
    static func removeStrayBlobs(
        _ transaction: borrowing WriteTransaction, _ blobs: Database, next: UInt64
    ) throws {
        for _ in 0...Limits.strayBlobs {
            let last = try withUnsafeBytes(of: UInt64.max) {
                try transaction.last(blobs, notAbove: $0) { key, _ in
                    key.count == 8 ? key.loadUnaligned(as: UInt64.self) : 0
                }
            }
            guard let last, last >= next else { return }
            try withUnsafeBytes(of: last) { _ = try transaction.delete(blobs, $0) }
        }
        throw LarderError(.damaged, "the store holds blobs that were never written")
    }

    static let formatKey = Array("format".utf8)

    /// What an error on opening `path` means.
    static func openingFailure(_ error: any Error, _ path: String) -> OpeningFailure {
        switch error {
        case let error as OpeningFailure: return error
        case let error as LarderError: return OpeningFailure(error: error, isDamage: error.code == .damaged)
        case let error as FileCheck.Failure:
            return OpeningFailure(error: LarderError(.storeUnusable, "\(error)"), isDamage: error.isDamage)
        case let error as LMDBError where error.isDamage:
            return OpeningFailure(error: LarderError(.storeUnusable, "\(path): \(error)"), isDamage: true)
        case let error as SystemError where error.code == SystemError.noSpace:
            return OpeningFailure(error: LarderError(.storage, "\(error); free some of the disk"), isDamage: false)
        case let error as SystemError:
            return OpeningFailure(
                error: LarderError(.storage, "\(error); give the daemon a directory that it may write"),
                isDamage: false)
        default: return OpeningFailure(error: LarderError(.storage, "\(path): \(error)"), isDamage: false)
        }
    }
}
