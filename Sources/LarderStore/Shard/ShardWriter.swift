// The one thread that writes to a shard. It drains a bounded queue, applies what fits in one transaction, commits, makes
// the commit durable if any of its mutations asks for it, and completes them. In its idle moments it frees what was
// dropped and sweeps, a little a transaction, so that a page-out never waits long behind it (ShardWriter+Room).
import LarderCodec
import LarderLMDB
import LarderModel
import LarderPolicy
import LarderSystem
import Logging

final class ShardWriter: Sendable {
    struct Queue {
        var mutations: FairQueue<any Mutation>
        /// Until when small batches keep the wait of a light lane short beside a heavy one: a reading of ``Clock/now()``.
        var sharedUntil: UInt64 = 0
        var isStopping = false
        var hasStopped = false
        var mayHaveGraves: Bool
        /// True while more is in use than the low watermark allows, since the high one was passed.
        var isSweeping = false
        /// What the data file may take from now on, in bytes, and what came of that (ShardWriter+Cap).
        var wantedPart: Int?
        var partAnswer: Result<Void, LarderError>?
        /// When the data file is to be lowered a step further; nil if it need not be.
        var lowersAt: UInt64?
    }

    /// What a writer has done since it started.
    struct Totals: Sendable {
        var commits: UInt64 = 0
        var syncs: UInt64 = 0
        var blobsFreed: UInt64 = 0
        /// Stored bytes of the chunks that were put.
        var putBytes: UInt64 = 0
        /// Stored bytes that the sweep freed, and that it wrote anew.
        var sweptBytes: UInt64 = 0
        var movedBytes: UInt64 = 0
        /// Chunks evicted, by rule.
        var evicted = EvictionCounts()
    }

    let shard: Shard
    private let team: CodecTeam
    private let noteCommit: @Sendable (UInt64) -> Void
    private let views: ViewGeneration
    let queueBytes: Int
    let waitSeconds: Int
    let queue: Monitor<Queue>
    let totals = Monitor(Totals())
    let log: Logger
    /// For the writer's thread only.
    nonisolated(unsafe) let scratch = CodecScratch()
    /// Pages in use after the last commit. For the writer's thread only.
    nonisolated(unsafe) var usedPages = 0
    /// Bytes that the sweep has moved since it last freed any, and that were put since it paused for that. For the writer's
    /// thread only.
    nonisolated(unsafe) var barren = 0
    /// Sessions that the last batch with any added chunks to. For the writer's thread only.
    nonisolated(unsafe) var lastGrowing: Set<UInt64> = []
    /// By namespace. For the writer's thread only.
    nonisolated(unsafe) var quotaPlaces: [UInt32: QuotaPlace] = [:]
    /// Sweeps beside puts that are to step over what is hot, and where the last one stopped. For the writer's thread only.
    nonisolated(unsafe) var steppingOver = 0
    /// See ``steppingOver``.
    nonisolated(unsafe) var steppedTo: UInt64 = 0
    /// Times that freeing failed, one after another. For the writer's thread only.
    nonisolated(unsafe) var failedReaps = 0
    /// See ``barren``.
    nonisolated(unsafe) var waiting = 0
    /// Told that the environment is of no use any more.
    let onFailure: @Sendable () -> Void
    /// True once that was told. For the writer's thread only.
    nonisolated(unsafe) var hasFailed = false
    /// How far the data file is lowered. For the writer's thread only.
    nonisolated(unsafe) var lowering = Lowering()

    /// Starts the writer's thread.
    ///
    /// - Parameter queueBytes: this shard's part of the configured queue.
    init(
        _ shard: Shard, queueBytes: Int, _ configuration: StoreConfiguration, _ team: CodecTeam,
        _ views: ViewGeneration,
        log: Logger
    ) throws(LarderError) {
        self.shard = shard
        self.views = views
        self.team = team
        self.queueBytes = queueBytes
        waitSeconds = configuration.queueWaitSeconds
        onFailure = configuration.onFailure
        noteCommit = configuration.noteCommit
        self.log = log
        queue = Monitor(
            Queue(
                mutations: FairQueue(
                    capacity: queueBytes, userLimit: configuration.userQueueBytes.map { $0 / configuration.shards },
                    minimumCost: Limits.bytesPerCommit / Limits.putsPerCommit),
                mayHaveGraves: configuration.frees))
        do { usedPages = try shard.usedPages(try ReadTransaction.renewed(shard.environment)) } catch {
            throw LarderError(.storage, "the store could not be read: \(error)")
        }
        if configuration.frees, shard.isLowered { queue.withLock { $0.lowersAt = 0 } }
        do {
            try WorkerThread(name: "writer-\(shard.index)") { [self] in run() }.detach()
        } catch { throw LarderError(.storage, "\(error)") }
    }

    // MARK: submitting

    /// Takes room for `bytes` in the queue. Throws `shuttingDown`, or `busy` if there is none within a bounded time; without
    /// waiting, returns false.
    ///
    /// ``submit(reserved:)`` uses the room; ``giveBack(_:)`` returns it.
    @discardableResult
    func reserve(_ bytes: Int, _ lane: Lane, waits: Bool = true) throws(LarderError) -> Bool {
        let deadline = Clock.deadline(seconds: waits ? Double(waitSeconds) : 0)
        let isReserved = queue.wait(until: deadline) { queue -> Bool? in
            if queue.isStopping { return false }
            return queue.mutations.reserve(bytes, lane) ? true : nil
        }
        if isReserved == false { throw Self.stopping }
        guard isReserved == nil, waits else { return isReserved != nil }
        throw LarderError(
            .busy,
            "the writer's queue of \(queueBytes) bytes, or this worker's part of it, stayed full for \(waitSeconds) s; "
                + "put less at once, or later")
    }

    /// Returns reserved room.
    func giveBack(_ bytes: Int, _ lane: Lane) { queue.signal { $0.mutations.giveBack(bytes, lane) } }

    /// Queues a mutation for which room was reserved. Throws `shuttingDown`, and then has not taken it.
    func submit(reserved mutation: any Mutation) throws(LarderError) {
        let isStopping = queue.signal { queue in
            if queue.isStopping { return true }
            queue.mutations.append(mutation, mutation.byteCount, mutation.lane, session: mutation.orderedSession)
            let isLight =
                mutation.lane != .control
                && queue.mutations.largestHeldBytes >= Limits.heavyLaneBytes
                && queue.mutations.heldBytes(mutation.lane) <= Limits.lightLaneBytes
            if isLight { queue.sharedUntil = Clock.deadline(seconds: 1) }
            return false
        }
        if isStopping { throw Self.stopping }
    }

    private static var stopping: LarderError {
        LarderError(.shuttingDown, "the daemon is shutting down; reconnect later")
    }

    /// Raw bytes of a page-out that are to go into one mutation.
    var partBytes: Int {
        let isShared = queue.withLock { $0.sharedUntil > Clock.now() }
        // Several of them, of several workers, have room in the queue beside each other.
        return min(isShared ? Limits.sharedCommitBytes : Limits.pageOutBytes, queueBytes / 8)
    }

    /// Queues a mutation and waits for its outcome.
    @discardableResult
    func perform<Value>(_ mutation: AwaitedMutation<Value> & Mutation) throws(LarderError) -> Value {
        try reserve(mutation.byteCount, mutation.lane)
        do { try submit(reserved: mutation) } catch {
            giveBack(mutation.byteCount, mutation.lane)
            throw error
        }
        return try mutation.wait()
    }

    /// Returns when all that was queued before, accepted page-outs among it, survives power loss.
    func flush() throws(LarderError) {
        let mark = queue.withLock { $0.mutations.arrivals }
        _ = queue.wait { $0.mutations.hasTaken(upTo: mark) || $0.hasStopped ? true : nil }
        try perform(SyncMutation())
    }

    /// Bytes and mutations that wait.
    var backlog: (bytes: Int, mutations: Int) { queue.withLock { ($0.mutations.bytes, $0.mutations.count) } }

    /// True while it comes down to its low watermark.
    var isSweeping: Bool { queue.withLock { $0.isSweeping } }

    /// What was done so far.
    var done: Totals { totals.withLock { $0 } }

    /// Refuses what comes from now on, commits what waits, and makes it durable. Returns when the thread has ended.
    func stop() {
        queue.signal { $0.isStopping = true }
        _ = queue.wait { $0.hasStopped ? true : nil }
    }

    // MARK: the thread

    private enum Work {
        case write([any Mutation])
        case reap
        case sweep
        case setPart(Int)
        case lower
        case end
    }

    private func run() {
        loop: while true {
            switch nextWork() {
            case .write(let batch): write(batch)
            case .reap: reapStep()
            case .sweep: sweepIdly()
            case .setPart(let bytes): change(part: bytes)
            case .lower: lower()
            case .end: break loop
            }
            if shard.isLowered { returnSpace() }
        }
        do { try shard.environment.synchronise() } catch {
            noteFailure(error)
            log.error("the last sync failed", metadata: ["error": "\(error)"])
        }
        queue.signal { $0.hasStopped = true }
    }

    private func nextWork() -> Work {
        while true {
            let lowersAt = queue.withLock { $0.lowersAt }
            if let work = queue.wait(until: lowersAt, { takeWork(&$0) }) { return work }
        }
    }

    private func takeWork(_ queue: inout Queue) -> Work? {
        if let part = queue.wantedPart {
            queue.wantedPart = nil
            return .setPart(part)
        }
        if queue.mutations.isEmpty {
            if queue.isStopping { return .end }
            if queue.mayHaveGraves { return .reap }
            if queue.isSweeping { return .sweep }
            return queue.lowersAt.map { $0 <= Clock.now() } ?? false ? .lower : nil
        }
        let isShared = queue.sharedUntil > Clock.now()
        return .write(
            queue.mutations.takeBatch(
                byteLimit: isShared ? min(Limits.sharedCommitBytes, shard.batchBytes) : shard.batchBytes,
                countLimit: Limits.putsPerCommit, isStrict: isShared))
    }

    /// Writes a batch in one transaction, or each mutation in its own where together they fail.
    private func write(_ batch: [any Mutation]) {
        for mutation in batch { mutation.prepare(team) }
        let deadline = Clock.deadline(seconds: Double(waitSeconds))
        makeRoomInQuotas(batch, until: deadline)
        makeRoom(bytes: batch.reduce(0) { $0 + $1.storedByteCount }, growing: growing(batch), until: deadline)
        if case .done(let refusals) = attempt(batch, until: deadline) {
            finish(batch, refusals)
            return
        }
        for mutation in batch {
            var outcome = attempt([mutation], until: deadline, sweeps: false)
            // There is room in the file, but what was freed just now cannot be used yet: no commit, and it never could be,
            switch outcome {
            case .noRoom(_, .map), .noRoom(_, .disk):
                while Clock.now() < deadline, reapStep() {}
                makeFreedPagesUsable()
                outcome = attempt([mutation], until: deadline, sweeps: false)
            case .noRoom(_, .blocks), .done: break
            }
            // or there is no run of pages that is long enough: what the sweep frees lies side by side.
            var place: (at: UInt64, sparesHot: Bool) = (0, true)
            while case .noRoom(_, .map) = outcome, Clock.now() < deadline,
                makeRun(
                    bytes: 2 * mutation.storedByteCount, growing: growing([mutation]), from: &place,
                    until: deadline)
            {
                outcome = attempt([mutation], until: deadline, sweeps: false)
            }
            switch outcome {
            case .done(let refusals): finish([mutation], refusals)
            case .noRoom(let refusal, _):
                // What was dropped may be freed by now, where it could not when it was tried last.
                queue.withLock { $0.mayHaveGraves = true }
                finish([mutation], [refusal])
            }
        }
    }

    func growing(_ batch: [any Mutation]) -> Set<UInt64> {
        let growing = batch.reduce(into: Set()) { $0.formUnion($1.growingSessions) }
        if !growing.isEmpty { lastGrowing = growing }
        return growing
    }

    private enum Outcome {
        /// Committed: what each mutation is to be told.
        case done([LarderError?])
        /// Nothing was written, because there was no room for it.
        case noRoom(LarderError, Shortage)
    }

    private enum Shortage {
        /// No free pages, or none that lie side by side.
        case map
        /// The disk is full.
        case disk
        /// The cap has been lowered, and leaves no blocks of the disk for so many pages.
        case blocks(Int)
    }

    /// One transaction for all of `batch`; again, where blocks are given back that it lacked.
    private func attempt(_ batch: [any Mutation], until deadline: UInt64, sweeps: Bool = true) -> Outcome {
        var outcome = attempt(batch, sweeps: sweeps)
        while case .noRoom(_, .blocks(let pages)) = outcome,
            gainBlocks(pages: pages, growing: growing(batch), until: deadline)
        {
            outcome = attempt(batch, sweeps: sweeps)
        }
        return outcome
    }

    /// One transaction for all of `batch`.
    ///
    /// - Parameter sweeps: false where there was no room: what the sweep would rewrite beside must not take it.
    private func attempt(_ batch: [any Mutation], sweeps: Bool = true) -> Outcome {
        var refusals: [LarderError?] = []
        let bytes = batch.reduce(0) { $0 + $1.storedByteCount }
        var start: UInt64 = 0
        do {
            var context = try WriteContext.begin(shard, scratch)
            for mutation in batch {
                do {
                    try mutation.apply(&context)
                    refusals.append(nil)
                } catch let error as LarderError {
                    refusals.append(error)
                }
            }
            if sweeps { try sweepBeside(&context, bytes: bytes) }
            let changed = context.changedSessions
            let hasGraves = context.hasGraves
            usedPages = context.usedPages
            start = Clock.now()
            try context.commit(bytes > 0 ? .stores : .changes)
            lowering.advances = 0
            for session in changed { views.bump(session) }
            if hasGraves { queue.withLock { $0.mayHaveGraves = true } }
        } catch {
            noteFailure(error)
            let failure = writeFailure(error, bytes: bytes)
            if sweeps, (error as? LMDBError)?.isMapFull == true { (steppingOver, steppedTo) = (Limits.steppingOver, 0) }
            if let error = error as? BlockShortage { return .noRoom(failure, .blocks(error.pages)) }
            if failure.code == .full {
                return .noRoom(failure, (error as? LMDBError)?.isMapFull == true ? .map : .disk)
            }
            log.error("a commit failed", metadata: ["shard": "\(shard.index)", "error": "\(error)"])
            return .done(batch.map { _ in failure })
        }
        let outcomes = synchronise(batch, refusals)
        noteCommit(Clock.now() - start)
        return .done(outcomes)
    }

    private func finish(_ batch: [any Mutation], _ refusals: [LarderError?]) {
        queue.signal { for mutation in batch { $0.mutations.giveBack(mutation.byteCount, mutation.lane) } }
        for (mutation, refusal) in zip(batch, refusals) { mutation.complete(refusal) }
    }
}
