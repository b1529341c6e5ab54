import LarderModel
import LarderPolicy
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
    /// Who may use which namespace.
    public var access = AccessTable()
    /// Bytes of a writer's queue that one user may hold; nil for two thirds, as much as its fair share ever is.
    public var userQueueBytes: Int?
    /// Stored bytes that the namespaces which one user owns may take together; 0 for no bound.
    public var userDiskBytes: UInt64 = 0
    /// Namespaces that one user may own.
    public var userNamespaces = Limits.userNamespaces
    /// Seconds that a page-out waits for room in a writer's queue before it is answered `busy`.
    public var queueWaitSeconds = Limits.queueWaitSeconds
    /// Threads that help others to encode and decode.
    public var codecHelpers = 0
    /// When the sweep begins and ends.
    public var watermarks = Watermarks()
    /// By what the sweep decides.
    public var policy = SweepPolicy.heat
    /// Bytes that may be written to the device in a day; 0 for no bound.
    public var wearBudget: UInt64 = 0
    /// Nanoseconds of a clock that never goes back: what leases, pins and retentions end by.
    public var now: @Sendable () -> UInt64 = { Clock.now() }
    /// Told once that the disk failed in a way that only opening the store anew mends.
    public var onFailure: @Sendable () -> Void = {}
    /// What to do with a shard that is damaged.
    public var onCorruption = CorruptionPolicy.refuse
    /// False to leave dropped state where it is: for looking at a store.
    public var frees = true
    /// The cap that the memory of heat was made for, if the cap has changed since.
    var heatCapBytes: Int?
    /// Seconds after which what was counted of savings is written.
    public var savingsSeconds = Limits.savingsSeconds
    /// Hourly counts of savings that are kept; no more than a shard's map has pages.
    public var savingsBuckets = Limits.savingsBuckets
    /// Sessions that were used last whose own counts are remembered, at least.
    public var sessionCounts = Limits.sessionCounts
    /// The clock that savings are counted by, in seconds since 1970.
    public var wallSeconds: @Sendable () -> UInt64 = Clock.wallSeconds

    /// Bytes of other files that the directory will hold, which the cap counts.
    public var otherBytes = 0
    /// Told what each commit took, in nanoseconds, from the thread that made it: it holds the writer up.
    public var noteCommit: @Sendable (_ nanoseconds: UInt64) -> Void = { _ in }

    /// A configuration from its fields.
    public init(directory: String, capBytes: Int, shards: Int = 1, queueBytes: Int = 64 << 20, readers: Int = 256) {
        self.directory = directory
        self.capBytes = capBytes
        self.shards = shards
        self.queueBytes = queueBytes
        self.readers = readers
    }

    /// Chunks of a shard whose heat is remembered, stored or evicted: four times as many as fit if they are of 16 KiB.
    private var heatEntries: Int {
        min(Limits.heatEntries / shards, max(4_096, 4 * ((heatCapBytes ?? capBytes) / shards / (16 << 10))))
    }

    /// How the sweep of a shard decides.
    var sweepRule: SweepRule.Configuration {
        var rule = SweepRule.Configuration()
        rule.policy = policy
        rule.keys = heatEntries
        return rule
    }

    /// Bytes of LMDB's lock file: a slot for each reader, and a head.
    var lockBytes: Int { (readers * 64 + 256 + 4_095) / 4_096 * 4_096 }

    /// Bytes of a shard that are not its data file: LMDB's lock file, the store's own, the directories of both, and the memory
    /// of heat, which lies there twice while it is saved.
    private var overheadBytes: Int {
        lockBytes + 12_288 + 2 * ((HeatTracker.fileBytes(keys: heatEntries) + 4_095) / 4_096 * 4_096)
    }

    /// Bytes of the disk that each shard's data file may take.
    var partBytes: Int { (capBytes - otherBytes) / shards - overheadBytes }

    /// Bytes of each shard's map.
    var mapBytes: Int { Self.mapBytes(partBytes: partBytes) }

    /// Extents that a block of ext4 names: a file takes one such block more, of 4,096 bytes, for so many extents.
    static let extentsPerBlock = 340

    /// How long a data file may be that is to take no more than `partBytes` of the disk, were each page an extent.
    static func mapBytes(partBytes: Int) -> Int {
        max(0, partBytes / (extentsPerBlock + 1) * extentsPerBlock / 4_096 * 4_096)
    }

    /// The least part of a cap that leaves a data file `mapBytes`, whole pages.
    private static func partBytes(mapBytes: Int) -> Int {
        (mapBytes + extentsPerBlock - 1) / extentsPerBlock * (extentsPerBlock + 1)
    }

    /// Throws ``LarderError`` with ``ErrorCode/invalidArgument`` if this cap is too small to lower a data file of
    /// `filePages` to: the list of its free pages would leave no room for anything else.
    func requireWorkable(path: String, filePages: Int) throws(LarderError) {
        let least = (filePages / Limits.loweredPart + 1) * 4_096
        guard mapBytes < least else { return }
        let cap = shards * (Self.partBytes(mapBytes: least) + overheadBytes) + otherBytes
        throw LarderError(
            .invalidArgument,
            "a cap of \(capBytes) bytes is below the smallest to which this store can be lowered, \(cap): \(path) is "
                + "\(filePages * 4_096) bytes long, and what lists its free pages needs room. Set that, wait until "
                + "larderctl cap shows that it is reached, restart the daemon with a cap of \(2 * cap), which shortens the "
                + "file, and lower it further")
    }

    /// Throws ``LarderError`` with ``ErrorCode/invalidArgument`` where the numbers make no store.
    public func validate() throws(LarderError) {
        guard (1...Limits.shards).contains(shards) else {
            throw LarderError(.invalidArgument, "\(shards) shards are not in 1...\(Limits.shards)")
        }
        guard mapBytes >= Limits.shardBytesMinimum else {
            throw LarderError(
                .invalidArgument,
                "a cap of \(capBytes) bytes is too small for \(shards) shards; give at least "
                    + "\(shards * (Self.partBytes(mapBytes: Limits.shardBytesMinimum) + overheadBytes) + otherBytes) bytes"
            )
        }
        guard capBytes <= Limits.capBytes else {
            throw LarderError(
                .invalidArgument, "a cap of \(capBytes) bytes is above the largest; give at most \(Limits.capBytes)")
        }
        try watermarks.validate()
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
        while let size = FileSystem.size("\(directory)/shard-\(shards)/data.mdb"), size > 0 {
            bytes = max(bytes, size)
            shards += 1
        }
        guard shards > 0 else {
            throw LarderError(.storeUnusable, "there is no store in \(directory); name the daemon's data_dir")
        }
        var configuration = StoreConfiguration(
            directory: directory, capBytes: shards * (bytes + bytes / 128 + (64 << 20)), shards: shards)
        configuration.frees = false
        return configuration
    }
}

/// How full a store may be, as parts of what data may take (the cap less what LMDB needs to copy pages).
public struct Watermarks: Sendable, Hashable {
    /// Above this the sweep begins.
    public var high: Double
    /// Down to this it goes.
    public var low: Double

    /// Watermarks from their fields.
    public init(high: Double = 0.98, low: Double = 0.96) {
        self.high = high
        self.low = low
    }

    /// Throws ``LarderError`` with ``ErrorCode/invalidArgument`` unless 0.1 <= low < high <= 1.
    public func validate() throws(LarderError) {
        guard low >= 0.1, low < high, high <= 1 else {
            throw LarderError(
                .invalidArgument,
                "watermarks of \(low) and \(high) make no sweep; the low one must be at least 0.1 and below the high one, "
                    + "which is at most 1")
        }
    }
}
