import LarderModel
import LarderPolicy
import LarderSystem
import Logging
import Synchronization

/// What a store does by itself, on a thread of its own, beside the writers: it looks for expired sessions and namespaces
/// above their quota, keeps count of what is written to the device, and saves the memory of heat.
final class Housekeeper: Sendable {
    private struct State {
        var isRunning = false
        var isStopping = false
    }

    private let state = Monitor(State())
    private let written = Atomic<UInt64>(0)
    private let isSpent = Atomic<Bool>(false)

    /// Bytes that this process had the device write since the thread started.
    var deviceBytes: UInt64 { written.load(ordering: .relaxed) }
    /// True while the daily budget of writes is used up.
    var isBudgetSpent: Bool { isSpent.load(ordering: .relaxed) }

    /// Starts the thread.
    func start(_ store: Store) throws(LarderError) {
        state.withLock { $0.isRunning = true }
        do {
            try WorkerThread(name: "housekeeper") { [self, weak store] in run { store } }.detach()
        } catch {
            state.withLock { $0.isRunning = false }
            throw LarderError(.storage, "no thread to keep house with: \(error)")
        }
    }

    /// Ends the thread and waits for it.
    func stop() {
        state.signal { $0.isStopping = true }
        _ = state.wait { !$0.isRunning ? true : nil }
    }

    private func run(_ store: () -> Store?) {
        var wear = Wear()
        var seconds: UInt64 = 0
        var expiry = ExpiryScan()
        var places: [UInt64: UInt64] = [:]
        while !waitASecond() {
            guard let store = store() else { break }
            seconds += 1
            wear.note(store, seconds)
            written.store(wear.written, ordering: .relaxed)
            isSpent.store(wear.budget?.isSpent ?? false, ordering: .relaxed)
            for shard in store.shards { shard.heat.spareWrites(budgetIsShort: wear.budget?.isShort ?? false) }
            trim(store, &places)
            expiry.step(store, seconds: Clock.wallSeconds()) { self.state.withLock { $0.isStopping } }
            if seconds % Limits.heatSaveSeconds == 0 { store.saveHeat() }
        }
        state.signal { $0.isRunning = false }
    }

    /// True once the thread is to end.
    private func waitASecond() -> Bool {
        state.wait(until: Clock.deadline(seconds: 1)) { $0.isStopping ? true : nil } ?? false
    }

    private struct Wear {
        var budget: WearBudget?
        var written: UInt64 = 0
        private var first: UInt64?

        mutating func note(_ store: Store, _ seconds: UInt64) {
            guard let now = Process.writtenBytes().map({ UInt64($0) }) else { return }
            if budget == nil { budget = WearBudget(bytesPerDay: store.configuration.wearBudget, at: seconds) }
            let total = now - min(now, first ?? now)
            first = first ?? now
            budget?.note(writtenBytes: total - min(total, written), at: seconds)
            written = total
        }
    }

    /// Has namespaces above their maximum give way, a part at a time: puts do that for themselves, but not in other shards,
    /// nor where a maximum was lowered.
    ///
    /// - Parameter places: where the log of a shard was left, by namespace and shard.
    private func trim(_ store: Store, _ places: inout [UInt64: UInt64]) {
        if places.count > Limits.activeQuotas { places = [:] }
        for excess in store.quotas.aboveMaximum() where excess.shard < store.writers.count {
            let key = UInt64(excess.namespaceID) << 32 | UInt64(excess.shard)
            for _ in 0..<Limits.quotaSteps where store.quotas.excess(excess.namespaceID, with: 0).bytes > 0 {
                let mutation = TrimMutation(
                    namespaceID: excess.namespaceID, bytes: min(excess.bytes, Limits.bytesPerCommit),
                    from: places[key] ?? 0)
                guard let next = try? store.writers[excess.shard].perform(mutation) else { return }
                places[key] = next
                if next == 0 || state.withLock({ $0.isStopping }) { break }
            }
        }
    }
}

/// Evicts chunks of a namespace that is above its maximum, oldest first.
final class TrimMutation: AwaitedMutation<UInt64>, Mutation, @unchecked Sendable {
    private let namespaceID: UInt32
    private let bytes: Int
    private let place: UInt64

    /// The outcome is the place of the log to go on from; 0 for its old end.
    init(namespaceID: UInt32, bytes: Int, from place: UInt64) {
        self.place = place
        self.namespaceID = namespaceID
        self.bytes = bytes
    }

    func apply(_ context: inout WriteContext) throws {
        let outcome = try Sweep.step(
            &context, bytes: bytes, .urgent(from: place, sparesHot: false), growing: [], only: namespaceID)
        value = outcome.isAtEnd ? 0 : outcome.next
    }
}

extension Store {
    /// Takes the state of sessions out that have expired by a time, in seconds since 1970; looks at all of them. The store
    /// does so by itself, at ``Limits/sessionsPerExpiry`` a second.
    public func expire(at seconds: UInt64) {
        var scan = ExpiryScan()
        repeat { scan.step(self, seconds: seconds) { false } } while !scan.isAtStart
    }
}

/// Where the search for expired sessions stands: a part of them each second.
private struct ExpiryScan {
    private var shard = 0
    private var next: UInt64 = 0

    var isAtStart: Bool { next == 0 && shard == 0 }

    /// Takes the state of expired sessions out of the store.
    ///
    /// - Parameter seconds: the time, in seconds since 1970.
    mutating func step(_ store: Store, seconds: UInt64, isStopping: () -> Bool) {
        for session in page(store, seconds) where !isStopping() {
            guard let namespace = store.catalog.namespace(session.record.namespaceID) else { continue }
            while !isStopping() {
                let mutation = ExpireMutation(
                    session: session.id, namespaceTTL: namespace.policy.ttlSeconds, seconds: seconds,
                    counts: store.catalog.sessionCounts)
                guard (try? store.writers[session.shard].perform(mutation)) == true else { break }
            }
        }
    }

    private typealias Candidate = (id: UInt64, shard: Int, record: SessionRecord)

    /// The sessions of the next part that may have expired.
    private mutating func page(_ store: Store, _ seconds: UInt64) -> [Candidate] {
        let reader = StoreReader(store, userID: Process.userID)
        var found: [Candidate] = []
        var count = 0
        var isAtEnd = true
        let index = shard
        let start = next
        try? reader.read(shard: index) { transaction, shard in
            try WordKey(start).withBytes { start in
                try transaction.scan(shard.databases.sessions, from: start) { key, value in
                    count += 1
                    if count > Limits.sessionsPerExpiry {
                        next = WordKey.word(key, 0)
                        isAtEnd = false
                        return false
                    }
                    guard let record = try? SessionRecord(value, key: key),
                        let namespace = store.catalog.namespace(record.namespaceID)
                    else { return true }
                    let head = try WordKey(record.head).withBytes { key in
                        try transaction.get(shard.databases.lines, key).flatMap { try? LineRecord($0, key: key) }
                    }
                    guard let head else { return true }
                    let used = max(
                        head.changedSeconds, record.createdSeconds, shard.heat.lastUseSeconds(of: record.head))
                    let age = seconds - min(seconds, used)
                    let holds = head.chunks > 0 || head.parent != 0
                    let isExpired = record.isExpired(age: age, namespaceTTL: namespace.policy.ttlSeconds)
                    if (isExpired && holds) || (!holds && age > Limits.emptySessionSeconds) {
                        found.append((WordKey.word(key, 0), index, record))
                    }
                    return true
                }
            }
        }
        if isAtEnd {
            shard = (shard + 1) % store.shards.count
            next = 0
        }
        return found
    }
}
