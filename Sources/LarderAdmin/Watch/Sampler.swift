import LarderMetrics
import LarderModel
import LarderServer
import LarderStore
import LarderSystem

/// Looks at the daemon's counters once a second: makes events of what has changed, so that what counts need not tell, and
/// every so often a sample of the history.
final class Sampler: Sendable {
    private struct State {
        var isRunning = false
        var isStopping = false
    }

    private let state = Monitor(State())

    /// Begins, on a thread of its own.
    func start(_ admin: Admin) throws(LarderError) {
        state.withLock { $0.isRunning = true }
        do {
            try WorkerThread(name: "admin-sampler") { [self, weak admin] in
                WorkerThread.giveWay()
                run { admin }
                state.signal { $0.isRunning = false }
            }.detach()
        } catch {
            state.withLock { $0.isRunning = false }
            throw LarderError(.storage, "no thread to sample with: \(error)")
        }
    }

    /// Ends the thread and waits for it, but not for long: it may be counting a large store, which keeps nobody from closing it.
    func stop() {
        state.signal { $0.isStopping = true }
        _ = state.wait(until: Clock.deadline(seconds: 1)) { !$0.isRunning ? true : nil }
    }

    private func run(_ admin: () -> Admin?) {
        guard var last = admin().map({ Look($0) }) else { return }
        var sampled = last
        var looks = 0
        while !waitASecond() {
            guard let admin = admin() else { return }
            // For the metrics of heat, which must not have to wait for it.
            if looks % Limits.heatLookSeconds == 5 { _ = try? admin.inventory.inventory(admin.reader) }
            looks += 1
            let now = Look(admin)
            last.tell(admin.daemon.events, of: now)
            last = now
            if now.seconds / UInt64(Limits.historySeconds) != sampled.seconds / UInt64(Limits.historySeconds) {
                admin.history?.add(now.sample(since: sampled))
                sampled = now
            }
        }
        // The last part of an interval counts, too.
        guard let admin = admin() else { return }
        let now = Look(admin)
        if now.seconds > sampled.seconds { admin.history?.add(now.sample(since: sampled)) }
    }

    private func waitASecond() -> Bool {
        state.wait(until: Clock.deadline(seconds: 1)) { $0.isStopping ? true : nil } ?? false
    }
}

/// The counters at a moment.
private struct Look {
    let seconds = Clock.wallSeconds()
    let nanoseconds = Clock.now()
    private let counters: [String: UInt64]
    private let savings: SavingsTally
    private let pageIns: HistogramCounts?
    private let pageOuts: HistogramCounts?
    private let refused: [(code: ErrorCode, count: UInt64)]

    init(_ admin: Admin) {
        counters = Dictionary(admin.daemon.counters.map { ($0.name, $0.value) }) { first, _ in first }
        savings = admin.store.savingsSinceStart
        func latencies(_ operations: Set<String>) -> HistogramCounts? {
            admin.registry.histogram(MetricNames.request, where: "operation", isOneOf: operations)
        }
        pageIns = latencies(["get", "get_into"])
        pageOuts = latencies(["put"])
        let watched: Set<ErrorCode> = [.full, .busy, .declined]
        refused = admin.daemon.errors.filter { watched.contains($0.code) }.map { ($0.code, $0.requests + $0.items) }
    }

    private subscript(name: String) -> UInt64 { counters[name] ?? 0 }

    private func increase(_ name: String, since last: Look) -> UInt64 { self[name] - min(self[name], last[name]) }

    /// Notes what a later look has more of.
    func tell(_ events: EventLog, of now: Look) {
        var evicted: [String: DaemonEvent.Value] = [:]
        for rule in EvictionRule.allCases {
            let count = now.increase("evicted_\(rule.name)_chunks", since: self)
            if count > 0 { evicted["\(rule.name)_chunks"] = .number(count) }
        }
        if !evicted.isEmpty { events.note(.evicted, evicted) }
        for (before, after) in zip(refused, now.refused) where after.count > before.count {
            events.note(
                .refused, ["code": .text(after.code.name.snakeCased), "items": .number(after.count - before.count)])
        }
        let damaged = now.increase("damaged_chunks", since: self)
        if damaged > 0 { events.note(.damaged, ["chunks": .number(damaged)]) }
        switch (self["sweeping_shards"], now["sweeping_shards"]) {
        case (0, 1...): events.note(.sweepStarted, ["used_bytes": .number(now["used_bytes"])])
        case (1..., 0): events.note(.sweepFinished, ["used_bytes": .number(now["used_bytes"])])
        default: break
        }
    }

    func sample(since last: Look) -> HistorySample {
        var values = [
            increase("requests_total", since: last), increase("resumes_total", since: last),
            increase("tokens_asked_total", since: last), increase("tokens_resumed_total", since: last),
            savings.storedTokens &- last.savings.storedTokens,
            savings.restoredTokens &- last.savings.restoredTokens,
            savings.notRecomputedTokens &- last.savings.notRecomputedTokens,
            increase("page_in_raw_bytes_total", since: last), increase("page_out_raw_bytes_total", since: last),
        ]
        values += EvictionRule.allCases.map { increase("evicted_\($0.name)_chunks", since: last) }
        values += ["swept_bytes", "moved_bytes", "put_bytes", "device_write_bytes"].map { increase($0, since: last) }
        values += ["used_bytes", "disk_bytes", "usable_bytes", "cap_bytes", "sessions", "connections"].map { self[$0] }
        values += Self.quantiles(pageIns, since: last.pageIns) + Self.quantiles(pageOuts, since: last.pageOuts)
        precondition(values.count == HistorySample.figures.count, "a sample has a value for each figure")
        return HistorySample(
            seconds: seconds, milliseconds: (nanoseconds - last.nanoseconds) / 1_000_000, values: values)
    }

    /// p50 and p99 in nanoseconds of what came between two looks; 0 if nothing did.
    private static func quantiles(_ now: HistogramCounts?, since last: HistogramCounts?) -> [UInt64] {
        let came = now.map { now in last.map { now.since($0) } ?? now }
        return [0.5, 0.99].map { part in
            came?.quantile(part).map { UInt64(($0 * 1e9).rounded()) } ?? 0
        }
    }
}
