import LarderModel
import LarderPolicy
import LarderStore
import LarderSystem

/// What a daemon runs with. ``Setting`` says how each value is written and where it can come from.
public struct Configuration: Sendable {
    /// Path of the data socket.
    public var socket = "/run/larder/larder.sock"
    /// Mode of the data socket's file.
    public var socketMode: UInt32 = 0o660
    /// Group of the data socket's file; empty for the daemon's own.
    public var socketGroup = ""
    /// Who may use which namespace; without rules, its owner.
    public var access = AccessTable()
    /// What one user may take of what all share.
    public var user = UserLimits()
    /// What the process gives up at its start.
    public var privileges = PrivilegeConfiguration()
    /// Where the admin side listens.
    public var admin = AdminConfiguration()
    /// Directory of the store.
    public var dataDirectory = "/var/lib/larder"
    /// The most bytes that the store's files may ever take.
    public var capBytes = 10 << 30
    /// Environments that sessions are spread over; fixed when the store is created.
    public var shards = 1
    /// By what the compactor decides what to keep.
    public var policy = SweepPolicy.heat
    /// How full the store may be before the compactor begins, and down to where it goes, as parts of what data may take.
    public var watermarks = Watermarks()
    /// Bytes that may be written to the device in a day; 0 for no bound.
    public var wearBudget = 0
    /// What to do with a shard of the store that is damaged; nil for setting it aside, unless the store is marked precious.
    public var onCorruption: CorruptionPolicy?
    /// Connections served at once.
    public var maxConnections = 128
    /// Bytes of encoded chunks that may wait to be written.
    public var queueBytes = 64 << 20
    /// Seconds that a page-out waits for room in that queue before it is answered `busy`.
    public var queueWaitSeconds = Limits.queueWaitSeconds
    /// Threads that help connections to encode and decode: one less than the processors.
    public var codecHelpers = min(Process.processors - 1, 15)
    /// Bytes of frames that may be in memory at once, beyond a small buffer for each connection.
    public var inlineBytes = 96 << 20
    /// Bytes of shared memory that all arenas may take together.
    public var arenaBytes = 16 << 30
    /// What a GPU-hour costs, in millionths of a currency of the operator's, for reports of savings; 0 if that is not said.
    public var gpuHourPriceMicros: UInt64 = 0
    /// Seconds that a shutdown may take.
    public var drainSeconds = 10
    /// Where the daemon's turns are recorded; empty for nowhere.
    public var tracePath = ""
    /// The most bytes of that recording.
    public var traceBytes = 64 << 20
    /// trace, debug, info, notice, warning, error or critical.
    public var logLevel = "info"

    /// The defaults.
    public init() {}

    /// True if the operator has marked the store: a file of this name in its directory.
    private var isPrecious: Bool { FileSystem.exists("\(dataDirectory)/precious") }

    /// The store's part.
    public var store: StoreConfiguration {
        var store = StoreConfiguration(
            directory: dataDirectory, capBytes: capBytes, shards: shards, queueBytes: queueBytes,
            readers: maxConnections + 24)
        store.access = access
        store.userQueueBytes = user.queueBytes == 0 ? nil : user.queueBytes
        store.userDiskBytes = UInt64(user.diskBytes)
        store.userNamespaces = user.namespaces
        store.queueWaitSeconds = queueWaitSeconds
        store.codecHelpers = codecHelpers
        store.policy = policy
        store.watermarks = watermarks
        store.onCorruption = onCorruption ?? (isPrecious ? .refuse : .reset)
        store.wearBudget = UInt64(wearBudget)
        store.otherBytes = hasAdmin ? Limits.historyBytes : 0
        return store
    }
}
