import LarderModel
import LarderSystem

/// What a store is opened with.
public struct StoreConfiguration: Sendable {
    /// The directory that holds everything.
    public var directory: String
    /// The most bytes that the files in it may ever take together.
    public var capBytes: Int
    /// Environments that sessions are spread over; fixed when the store is created.
    public var shards: Int
    /// Bytes of encoded chunks that may wait for a shard's writer.
    public var queueBytes: Int
    /// Threads that may read at once.
    public var readers: Int
    /// Seconds that a page-out waits for room in a writer's queue before it is answered `busy`.
    public var queueWaitSeconds = Limits.queueWaitSeconds
    /// Threads that help others to encode and decode.
    public var codecHelpers = 0
    /// False to leave dropped state where it is: for looking at a store.
    public var frees = true
    /// Seconds after which what was counted of savings is written.
    public var savingsSeconds = Limits.savingsSeconds
    /// Hourly counts of savings that are kept; no more than a shard's map has pages.
    public var savingsBuckets = Limits.savingsBuckets
    /// Sessions that were used last whose own counts are remembered, at least.
    public var sessionCounts = Limits.sessionCounts
    /// The clock that savings are counted by, in seconds since 1970.
    public var wallSeconds: @Sendable () -> UInt64 = Clock.wallSeconds

    /// A configuration from its fields.
    public init(directory: String, capBytes: Int, shards: Int = 1, queueBytes: Int = 64 << 20, readers: Int = 256) {
        self.directory = directory
        self.capBytes = capBytes
        self.shards = shards
        self.queueBytes = queueBytes
        self.readers = readers
    }

    /// Bytes of a shard that are not its map: LMDB's lock file and the store's own.
    private var overheadBytes: Int { (readers * 64 + 16_384 + 4_095) / 4_096 * 4_096 }

    /// Bytes of each shard's map.
    var mapBytes: Int { (capBytes / shards - overheadBytes) / 4_096 * 4_096 }

    /// Throws ``LarderError`` with ``ErrorCode/invalidArgument`` where the numbers make no store.
    public func validate() throws(LarderError) {
        guard (1...Limits.shards).contains(shards) else {
            throw LarderError(.invalidArgument, "\(shards) shards are not in 1...\(Limits.shards)")
        }
        guard mapBytes >= Limits.shardBytesMinimum else {
            throw LarderError(
                .invalidArgument,
                "a cap of \(capBytes) bytes is too small for \(shards) shards; give at least "
                    + "\(shards * (Limits.shardBytesMinimum + overheadBytes)) bytes"
            )
        }
        guard queueBytes >= 1 << 20 else {
            throw LarderError(.invalidArgument, "a queue of \(queueBytes) bytes is too small; give at least 1 MiB")
        }
    }
}

extension StoreConfiguration {
    /// A configuration that opens the store in `directory` as it is, to look at it. Throws if there is none.
    public static func inspecting(_ directory: String) throws(LarderError) -> StoreConfiguration {
        var shards = 0
        var bytes = 0
        while let size = FileSystem.size("\(directory)/shard-\(shards)/data.mdb") {
            bytes = max(bytes, size)
            shards += 1
        }
        guard shards > 0 else {
            throw LarderError(.storeUnusable, "there is no store in \(directory); name the daemon's data_dir")
        }
        var configuration = StoreConfiguration(
            directory: directory, capBytes: shards * (bytes + (64 << 20)), shards: shards)
        configuration.frees = false
        return configuration
    }
}
