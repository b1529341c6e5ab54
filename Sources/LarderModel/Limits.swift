/// Every bound that the protocol, the codec and the store put on what others ask of them, in one place.
public enum Limits {
    // Names and models.

    /// Bytes of a name (session, namespace, model, component, client).
    public static let nameBytes = 255
    /// Components in one model.
    public static let components = 64
    /// Layers in one component.
    public static let layers: UInt32 = 4_096
    /// Planes in one layer.
    public static let planes: UInt32 = 16
    /// Bytes of one row: one token in one plane of one layer, or one recurrent state.
    public static let rowBytes: UInt32 = 64 << 20
    /// Workers in a parallel group.
    public static let groupSize: UInt32 = 1_024
    /// Models in a store.
    public static let models = 4_096
    /// Namespaces in a store.
    public static let namespaces = 65_536
    /// Namespaces that one user may own, unless it is configured.
    public static let userNamespaces = 4_096
    /// Rules of an access table, and users and groups of a rule.
    public static let accessRules = 1_024
    /// See ``accessRules``.
    public static let accessNames = 1_024
    /// Bytes of a namespace's salt.
    public static let saltBytes = 32

    // Chunks.

    /// Tokens in one chunk.
    public static let tokensPerChunk: UInt32 = 1 << 20
    /// A chunk ends below this offset, in tokens.
    public static let offsetTokens: UInt64 = 1 << 40
    /// Raw bytes of one chunk.
    public static let chunkBytes = 256 << 20
    /// Raw bytes of one block.
    public static let blockBytes = 256 << 10
    /// Blocks of one chunk: no chunk within the other limits needs more.
    public static let blocksPerChunk = 1 << 17

    // Frames.

    /// Bytes of a frame after its header.
    public static let frameBytes = 64 << 20
    /// Bytes that are read ahead of a connection; a smaller request costs one system call.
    public static let readAheadBytes = 16 << 10
    /// Bytes of a frame after its header, before the handshake.
    public static let handshakeBytes = 4_096
    /// Items in one batch.
    public static let batchItems = 4_096
    /// Entries in one page of a listing.
    public static let pageEntries = 1_000
    /// Lines named in the answer to one tree request.
    public static let treeLines = 16_384
    /// Chunks named in the answer to one resume request.
    public static let resumeChunks = 16_384
    /// Requests of one connection that wait for their answer.
    public static let requestsInFlight = 64
    /// Bytes of a message in an error answer.
    public static let messageBytes = 1_024

    // The daemon.

    /// Descriptors that the daemon needs for its store, its sockets and a few connections.
    public static let descriptorsMinimum = 40
    /// Bytes of freed memory that the daemon keeps for its next buffers.
    public static let keptBytes = 64 << 20
    /// Threads that may encode or decode at once, beside helpers: each takes 1.3 MiB of working memory.
    public static let codecScratches = 16
    /// Threads that help others to encode and decode.
    public static let codecHelpers = 64
    /// Raw bytes of the smallest work that is shared with helpers: less is done before they are awake.
    public static let sharedWorkBytes = 512 << 10
    /// Microseconds that a thread looks for work before it sleeps: about what waking it takes.
    public static let spinMicroseconds = 40
    /// Raw bytes of a page-out that are encoded and queued together, unless a single chunk is larger.
    public static let pageOutBytes = 8 << 20
    /// Blocks of a page-in that are listed and decoded together.
    public static let blocksAtOnce = 1_024
    /// Recurrent states that one plan asks a worker to save.
    public static let snapshotsPerPlan = 4_096
    /// Sessions that wait to be prefetched.
    public static let prefetches = 64
    /// Progress frames of one page-in.
    public static let progressFrames = 64
    /// Arenas of one connection.
    public static let arenasPerConnection = 16
    /// Seconds that a peer may take to complete a frame that it began, and to say hello; and a second more for each
    /// ``frameBytesPerSecond`` of the frame.
    public static let frameSeconds = 30
    /// See ``frameSeconds``.
    public static let frameBytesPerSecond = 4 << 20
    /// Batch items of one connection whose puts wait for their answer, unless a single put has more.
    public static let itemsInFlight = 8_192
    /// Seconds that a put waits for room in the writer's queue before it is answered `busy`.
    public static let queueWaitSeconds = 10
    /// Puts that one write transaction commits together.
    public static let putsPerCommit = 32
    /// Bytes that one write transaction commits together while a light lane waits beside a heavy one.
    public static let sharedCommitBytes = 2 << 20
    /// Bytes that a heavy lane of the writer's queue holds, at least.
    public static let heavyLaneBytes = 4 << 20
    /// Bytes that a light lane of the writer's queue holds, at most.
    public static let lightLaneBytes = 1 << 20
    /// Bytes that one write transaction commits together, unless a single chunk is larger.
    public static let bytesPerCommit = 32 << 20
    /// Blobs under ids that were never given that are removed when a shard is opened; more are damage.
    public static let strayBlobs = 64
    /// Blobs of dropped state that one write transaction frees.
    public static let blobsPerReap = 64
    /// Chunks evicted from one shard that it remembers, to explain misses.
    public static let tombstones = 65_536
    /// Seconds for which the chunks that a resume names are kept from eviction.
    public static let leaseSeconds = 30
    /// Blobs under lease at once, for all connections.
    public static let leasedBlobs = 1 << 18
    /// Evictions that a resume under way can tell from others.
    public static let recentEvictions = 4_096
    /// Times that a resume looks again because something of it was evicted meanwhile.
    public static let resumeAttempts = 64
    /// Resume points that are weighed against recomputing.
    public static let resumeCandidates: UInt64 = 16
    /// Sessions that one connection holds leases on.
    public static let leasesPerConnection = 16
    /// Forks of forks, one above the other.
    public static let forkDepth = 16_384
    /// Seconds after which what was counted of savings is written to the store.
    public static let savingsSeconds = 60
    /// Hours for which a store remembers its savings: 400 days.
    public static let savingsHours: UInt64 = 9_600
    /// Hourly counts of a model and a namespace that a store remembers; at most one for each page of the shard's map.
    public static let savingsBuckets = 131_072
    /// Hourly counts that wait in memory to be written.
    public static let savingsPending = 16_384
    /// Hourly counts that one write transaction adds.
    public static let savingsPerCommit = 1_024
    /// Sessions whose own counts the daemon remembers: at least the last so many, at most twice as many.
    public static let sessionCounts = 32_768
    /// Sessions of which a connection knows what tokens it has restored since it resumed them.
    public static let restoresPerConnection = 64
    /// Separate runs of tokens that a connection is remembered to have restored of one session.
    public static let restoredRuns = 4_096
    /// The highest price of a GPU-hour, in millionths of the currency.
    public static let gpuHourPriceMicros: UInt64 = 1_000_000_000_000
    /// Chunks of one damaged blob that one repair removes.
    public static let chunksPerRepair = 4_096
    /// Bytes that a backup copies at once.
    public static let backupBytes = 1 << 20
    /// Milliseconds from one word of a backup's progress to the next.
    public static let backupProgressMilliseconds = 250
    /// Seconds that a backup waits for all writers to stand still at once.
    public static let standStillSeconds = 30
    /// Bytes of the path of a directory to back up to.
    public static let pathBytes = 4_095
    /// Bytes of a backup's list of files.
    public static let backupManifestBytes = 64 << 10
    /// Bytes of a file that keeps the memory of heat of one shard.
    public static let heatFileBytes = 64 << 20
    /// Shards of one store.
    public static let shards = 64
    /// Smallest byte cap of a shard.
    public static let shardBytesMinimum = 4 << 20
    /// The part of a shard's map, one in so many pages, that is kept for LMDB's copies on write.
    public static let sparePart = 33
    /// The same in a small map: one in so many, up to ``sparePages``.
    public static let sparePartSmall = 10
    /// See ``sparePartSmall``.
    public static let sparePages = 1_024

    /// Pages that chunks leave to records.
    public static let recordPages = 8
    /// Largest byte cap of a store: half of what a process can map.
    public static let capBytes = 1 << 46
    /// A file can be lowered to a cap that leaves it one part in so many of its length; see ``reservedPages``.
    public static let loweredPart = 16
    /// Pages of a file above its cap that no put takes, so that what makes room can commit; a sixteenth in a small one.
    public static let reservedPages = 16_384
    /// Milliseconds for which one step gives space back to the file system: a hole takes from 0.01 to 1.
    public static let returnMilliseconds = 20
    /// Milliseconds for which a sweep that lacks blocks gives space back.
    public static let relieveMilliseconds = 1_000
    /// Milliseconds that new readers wait, and a few more, while one try to move a shard's map waits for older ones.
    public static let remapMilliseconds = 20
    /// Tries to move a shard's map.
    public static let remapTries = 32
    /// Sweeps for a commit that lacks blocks, one after another, that find nothing to free before it is `full`.
    public static let barrenRounds = 16
    /// Milliseconds between looks of a writer that lowers and finds nothing to do: readers and leases hold what is left.
    public static let loweringMilliseconds = 50

    // The compactor.

    /// Blobs that one step of the sweep looks at.
    public static let blobsPerSweep = 256
    /// Chunks that are one blob, of which the sweep looks at when it judges the blob.
    public static let ownersPerBlob = 16
    /// Forks of a line that are asked whether they need a chunk; of one with more every chunk counts as useful.
    public static let childrenPerVerdict: UInt32 = 64
    /// Namespaces at their maximum of which a writer knows where it looked for their state.
    public static let activeQuotas = 1_024
    /// Steps in which a batch of puts has a namespace at its maximum give way.
    public static let quotaSteps = 64
    /// Tombstones of a line that are forgotten in one transaction.
    public static let tombstonesPerReap = 256
    /// Chunks that one step of the sweep evicts.
    public static let evictionsPerSweep = 256
    /// Sweeps beside puts that step over what is hot, after one that found no room to rewrite it.
    public static let steppingOver = 16
    /// Bytes that a transaction without puts frees by the sweep beside it.
    public static let smallSweepBytes = 256 << 10
    /// Lines above a chunk's that are asked for a hole in its past.
    public static let holeDepth = 64
    /// Sessions that are looked at for their expiry at once, each second.
    public static let sessionsPerExpiry = 10_000
    /// Seconds after its last use that a session which holds nothing is forgotten.
    public static let emptySessionSeconds: UInt64 = 7 * 86_400
    /// Seconds from one saving of the memory of heat to the next.
    public static let heatSaveSeconds: UInt64 = 300
    /// Entries of the memory of heat, for all shards together: 16 bytes each.
    public static let heatEntries = 1 << 20
    /// Lines whose last use is remembered, for all shards together.
    public static let activeLines = 1 << 16

    // Hints.

    /// The highest priority of a hint; its negative is the lowest.
    public static let hintPriority: Int8 = 100
    /// Seconds that a retention lasts at most: a tool, or a person, that takes longer is not waited for.
    public static let retainSeconds: UInt32 = 86_400
    /// Seconds that a pin lasts at most.
    public static let pinSeconds: UInt32 = 3_600
    /// Chunks that one hint covers.
    public static let chunksPerHint = 16_384
    /// Chunks that the hints of one request look at.
    public static let chunksPerHints = 1 << 18
    /// The part of a shard, one in so many, that may be retained; and likewise pinned.
    public static let hintedPart = 2
    /// The part of a shard, one in so many, that one namespace may retain; and likewise pin.
    public static let hintedPartOfNamespace = 4
    /// Retentions of one shard.
    public static let retentions = 1_024
    /// Retentions of one namespace in one shard.
    public static let retentionsPerNamespace = 512
    /// Lines of one retention.
    public static let linesPerRetention = 256
    /// Pins of one connection.
    public static let pinsPerConnection = 64
    /// Blobs that are pinned at once, by all connections.
    public static let pinnedBlobs = 1 << 17

    // The admin side.

    /// Connections of the admin socket, and likewise of its TCP listener; further ones wait.
    public static let adminConnections = 64
    /// Streams of events at once.
    public static let eventStreams = 16
    /// Bytes of the body of an admin request.
    public static let adminBodyBytes = 64 << 10
    /// Bytes of all header fields of an admin request.
    public static let adminHeaderBytes = 16 << 10
    /// Header fields of an admin request.
    public static let adminHeaders = 64
    /// Seconds in which a request's head must have come since it could begin, and likewise its body.
    public static let adminReceiveSeconds = 15
    /// Seconds that a connection may be idle between requests.
    public static let adminIdleSeconds = 75
    /// Seconds in which an answer that is no stream must have been taken.
    public static let adminAnswerSeconds = 120
    /// Threads that answer admin requests.
    public static let adminThreads = 3
    /// Bytes of the bearer token: at least, at most.
    public static let adminTokenBytes = 16...1_024
    /// Namespaces that metrics name; the rest are one.
    public static let namespacesInMetrics = 100
    /// Samples of the history, and the seconds between two: eight hours.
    public static let historySamples = 1_440
    /// See ``historySamples``.
    public static let historySeconds = 20
    /// Bytes of the history's file, whole pages.
    public static let historyBytes = 360 << 10
    /// Jobs that are remembered.
    public static let jobs = 32
    /// Chunk records that one look of an inventory reads.
    public static let chunksPerLook = 2_048
    /// Seconds between two inventories for metrics.
    public static let heatLookSeconds = 300
    /// Seconds for which an inventory of the store is given again.
    public static let inventorySeconds = 10
}
