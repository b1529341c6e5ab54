// The one thread that writes to a shard. It drains a bounded queue, applies what fits in one transaction, commits, makes
// the commit durable if any of its mutations asks for it, and completes them. In its idle moments, and before it calls a
// shard full, it frees what was dropped, a few blobs a transaction, so that a page-out never waits long behind it.
import LarderCodec
import LarderLMDB
import LarderModel
import LarderSystem
import Logging

final class ShardWriter: Sendable {
    private struct Queue {
        var waiting: [any Mutation] = []
        var bytes = 0
        var isStopping = false
        var hasStopped = false
        var mayHaveGraves: Bool
    }

    /// What a writer has done since it started.
    struct Totals: Sendable {
        var commits: UInt64 = 0
        var syncs: UInt64 = 0
        var blobsFreed: UInt64 = 0
    }

    private let shard: Shard
    private let team: CodecTeam
    private let views: ViewGeneration
    private let queueBytes: Int
    private let waitSeconds: Int
    private let queue: Monitor<Queue>
    private let totals = Monitor(Totals())
    private let log: Logger
    /// For the writer's thread only.
    private nonisolated(unsafe) let scratch = CodecScratch()

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
        self.log = log
        queue = Monitor(Queue(mayHaveGraves: configuration.frees))
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
    func reserve(_ bytes: Int, waits: Bool = true) throws(LarderError) -> Bool {
        let deadline = Clock.deadline(seconds: waits ? Double(waitSeconds) : 0)
        let isReserved = queue.wait(until: deadline) { queue -> Bool? in
            if queue.isStopping { return false }
            // What is larger than the whole queue goes alone.
            guard queue.bytes == 0 || queue.bytes + bytes <= queueBytes else { return nil }
            queue.bytes += bytes
            return true
        }
        if isReserved == false { throw Self.stopping }
        guard isReserved == nil, waits else { return isReserved != nil }
        throw LarderError(
            .busy,
            "the writer's queue of \(queueBytes) bytes stayed full for \(waitSeconds) s; put less at once, or later")
    }

    /// Returns reserved room.
    func giveBack(_ bytes: Int) { queue.signal { $0.bytes -= bytes } }

    /// Queues a mutation for which room was reserved. Throws `shuttingDown`, and then has not taken it.
    func submit(reserved mutation: any Mutation) throws(LarderError) {
        let isStopping = queue.signal { queue in
            if !queue.isStopping { queue.waiting.append(mutation) }
            return queue.isStopping
        }
        if isStopping { throw Self.stopping }
    }

    private static var stopping: LarderError {
        LarderError(.shuttingDown, "the daemon is shutting down; reconnect later")
    }

    /// Queues a mutation and waits for its outcome.
    @discardableResult
    func perform<Value>(_ mutation: AwaitedMutation<Value> & Mutation) throws(LarderError) -> Value {
        try reserve(mutation.byteCount)
        do { try submit(reserved: mutation) } catch {
            giveBack(mutation.byteCount)
            throw error
        }
        return try mutation.wait()
    }

    /// Bytes and mutations that wait.
    var backlog: (bytes: Int, mutations: Int) { queue.withLock { ($0.bytes, $0.waiting.count) } }

    /// What was done so far.
    var done: Totals { totals.withLock { $0 } }

    /// Refuses what comes from now on, commits what waits, and makes it durable. Returns when the thread has ended.
    func stop() {
        queue.signal { $0.isStopping = true }
        _ = queue.wait { $0.hasStopped ? true : nil }
    }

    // MARK: the thread

    private func run() {
        while true {
            let (batch, isStopping, reap) = takeBatch()
            if !batch.isEmpty { write(batch) }
            if batch.isEmpty && reap { reapStep() }
            if batch.isEmpty && isStopping { break }
        }
        do { try shard.environment.synchronise() } catch {
            log.error("the last sync failed", metadata: ["error": "\(error)"])
        }
        queue.signal { $0.hasStopped = true }
    }

    private func takeBatch() -> (batch: [any Mutation], isStopping: Bool, reap: Bool) {
        let taken = queue.wait { queue -> ([any Mutation], Bool, Bool)? in
            if queue.waiting.isEmpty {
                return queue.isStopping || queue.mayHaveGraves ? ([], queue.isStopping, queue.mayHaveGraves) : nil
            }
            var count = 0
            var bytes = 0
            while count < queue.waiting.count, count < Limits.putsPerCommit, count == 0 || bytes < Limits.bytesPerCommit
            {
                bytes += queue.waiting[count].byteCount
                count += 1
            }
            defer {
                queue.waiting.removeFirst(count)
                queue.mayHaveGraves = true
            }
            return (Array(queue.waiting[..<count]), queue.isStopping, false)
        }!
        return taken
    }

    /// Writes a batch in one transaction, or each mutation in its own where together they fail.
    private func write(_ batch: [any Mutation]) {
        for mutation in batch { mutation.prepare(team) }
        makeRoom(bytes: batch.reduce(0) { $0 + $1.byteCount })
        if case .done(let refusals) = attempt(batch) {
            finish(batch, refusals)
            return
        }
        // No room for it all: free what was dropped, then try each by itself.
        while reapStep() {}
        makeFreedPagesUsable()
        for mutation in batch {
            switch attempt([mutation]) {
            case .done(let refusals): finish([mutation], refusals)
            case .noRoom(let refusal): finish([mutation], [refusal])
            }
        }
    }

    private enum Outcome {
        /// Committed: what each mutation is to be told.
        case done([LarderError?])
        /// Nothing was written, because neither map nor disk had room for it.
        case noRoom(LarderError)
    }

    /// One transaction for all of `batch`.
    private func attempt(_ batch: [any Mutation]) -> Outcome {
        var refusals: [LarderError?] = []
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
            let changed = context.changedSessions
            try context.commit()
            for session in changed { views.bump(session) }
            if batch.contains(where: \.isDurable) { try shard.environment.synchronise() }
        } catch {
            let failure = writeFailure(error, bytes: batch.reduce(0) { $0 + $1.byteCount })
            if failure.code == .full { return .noRoom(failure) }
            log.error("a commit failed", metadata: ["shard": "\(shard.index)", "error": "\(error)"])
            return .done(batch.map { _ in failure })
        }
        totals.withLock {
            $0.commits += 1
            $0.syncs += batch.contains(where: \.isDurable) ? 1 : 0
        }
        return .done(refusals)
    }

    /// What a failed commit means to the peer. LMDB reports a write that the disk had only part of the room for as EIO.
    private func writeFailure(_ error: any Error, bytes: Int) -> LarderError {
        if let error = error as? LMDBError, error.isMapFull {
            let remedy = "drop sessions that are not wanted, or raise the cap"
            return LarderError(.full, "the store has no run of free pages for this chunk; \(remedy)")
        }
        let code = (error as? LMDBError)?.code
        let hasRoom = FileSystem.availableBytes(shard.directory).map { $0 > bytes + (1 << 20) } ?? true
        if code == SystemError.noSpace || code == SystemError.quotaExceeded
            || (code == SystemError.inputOutput && !hasRoom)
        {
            return LarderError(.full, "the disk under the store is full; free some of it, then put again")
        }
        return LarderError(.storage, "the store could not be written: \(error); look at the disk, then try again")
    }

    private func finish(_ batch: [any Mutation], _ refusals: [LarderError?]) {
        let bytes = batch.reduce(0) { $0 + $1.byteCount }
        queue.signal { $0.bytes -= bytes }
        for (mutation, refusal) in zip(batch, refusals) { mutation.complete(refusal) }
    }

    /// Commits twice: pages that transaction N freed can be used from N + 2 on, and only a commit that changes something
    /// counts. Without it a store that is too full to commit anything else would never get at the room it has.
    private func makeFreedPagesUsable() {
        for _ in 0..<2 {
            do {
                var context = try WriteContext.begin(shard, scratch)
                context.countEmptyCommit()
                try context.commit()
            } catch { log.error("a commit failed", metadata: ["shard": "\(shard.index)", "error": "\(error)"]) }
        }
    }

    // MARK: freeing

    /// Frees what was dropped until there is room for `bytes` more, or nothing left to free.
    private func makeRoom(bytes: Int) {
        var freed = false
        while true {
            do {
                let context = try WriteContext.begin(shard, scratch)
                let used = try shard.usedPages(context.transaction)
                if used + bytes / 4_096 + Limits.putsPerCommit <= shard.usablePages { break }
            } catch { break }
            if !reapStep() { break }
            freed = true
        }
        if freed { makeFreedPagesUsable() }
    }

    /// Frees a few blobs of the graveyard in one transaction. Returns false if there was nothing to free.
    @discardableResult
    private func reapStep() -> Bool {
        do {
            var context = try WriteContext.begin(shard, scratch)
            let freed = try Reaper.step(&context)
            if freed.graves == 0 && freed.blobs == 0 {
                queue.withLock { $0.mayHaveGraves = false }
                return false
            }
            try context.commit()
            totals.withLock { $0.blobsFreed += UInt64(freed.blobs) }
            return true
        } catch {
            log.error("freeing dropped state failed", metadata: ["shard": "\(shard.index)", "error": "\(error)"])
            queue.withLock { $0.mayHaveGraves = false }
            return false
        }
    }
}
