// What paging saves, counted. Requests add to sums in memory, under one lock each; a thread adds those to hourly records in
// shard 0 every so often, in one small transaction, and when the store closes. So a page-in never waits for a commit, and
// SIGKILL loses the counts of the last period at most. A store that is full keeps the sums in memory and tries later.
import LarderLMDB
import LarderModel
import LarderSystem
import Logging

final class Savings: Sendable {
    private struct State {
        var pending: [SavingsBucket: SavingsTally] = [:]
        /// Of all, since the start.
        var total = SavingsTally()
        /// True once something was not counted because too much waited.
        var hasOverflowed = false
        var sessions: SessionTable
        var rates: PrefillRates
        var isStopping = false
        var isRunning = false
    }

    /// What encoding has saved.
    let encodings = EncodingCounts()
    private let state: Monitor<State>
    /// Held while sums move from memory to the store, so that a report counts them once.
    private let recording = Monitor<Void>(())
    private let configuration: StoreConfiguration
    private let log: Logger

    /// Reads the rates that the store knows; a damaged one is forgotten.
    init(_ shard: Shard, _ configuration: StoreConfiguration, log: Logger) throws {
        self.configuration = configuration
        self.log = log
        var rates = PrefillRates()
        let transaction = try ReadTransaction(shard.environment)
        try transaction.renew()
        try WordKey(PrefillRate.hour, 0).withBytes { start in
            try transaction.scan(shard.databases.savings, from: start) { key, value in
                guard key.count == 16, let rate = try? PrefillRate(value, key: key) else { return true }
                rates.byModel[UInt32(truncatingIfNeeded: WordKey.word(key, 1) >> 32)] = rate
                return rates.byModel.count < Limits.models
            }
        }
        state = Monitor(
            State(
                sessions: SessionTable(
                    openedSeconds: configuration.wallSeconds(), limit: configuration.sessionCounts), rates: rates))
    }

    // MARK: counting

    /// Adds what a request has done, to the hour that it is now.
    func note(_ tallies: [SessionTally]) {
        if tallies.isEmpty { return }
        let now = configuration.wallSeconds()
        state.withLock { state in
            for tally in tallies {
                state.sessions.add(tally, nowSeconds: now)
                state.total += tally.tally
                let bucket = SavingsBucket(hour: now / 3_600, tally.account)
                guard state.pending.count < Limits.savingsPending || state.pending[bucket] != nil else {
                    state.hasOverflowed = true
                    continue
                }
                state.pending[bucket, default: SavingsTally()] += tally.tally
            }
        }
    }

    /// Takes a rate into account that a worker reports, in tokens a second; it is written with the sums.
    func learn(_ rate: UInt32, modelID: UInt32) {
        state.withLock { $0.rates.byModel[modelID, default: PrefillRate()].learn(rate) }
    }

    /// The rate of a model, or of the models of a group in order of rank; 0 if there is none.
    func rate(of modelIDs: some Collection<UInt32>) -> (rate: UInt32, origin: PrefillRateOrigin) {
        state.withLock { $0.rates.rate(of: modelIDs) }
    }

    /// Sets a model's rate, before what its workers report, or forgets it if it is 0. Committed when this returns.
    func declare(_ rate: UInt32, modelID: UInt32, _ writer: ShardWriter) throws(LarderError) {
        try recording.withLock { _ throws(LarderError) in
            var record = state.withLock { $0.rates.byModel[modelID] ?? PrefillRate() }
            record.declared = rate
            try writer.perform(RecordSavings([], rates: [modelID: record], configuration))
            state.withLock { $0.rates.byModel[modelID, default: PrefillRate()].declared = rate }
        }
    }

    // MARK: asking

    /// The sums of all since the start.
    var total: SavingsTally { state.withLock { $0.total } }

    /// A session's counts in memory, and since when.
    func counts(of session: UInt64) -> (account: SavingsAccount?, tally: SavingsTally, sinceSeconds: UInt64) {
        state.withLock { $0.sessions.counts(of: session) }
    }

    /// Runs `body` with the sums that the store does not have, while none of them move there.
    func withPending<Result>(
        _ body: ([SavingsBucket: SavingsTally]) throws(LarderError) -> Result
    ) throws(LarderError) -> Result {
        try recording.withLock { _ throws(LarderError) in try body(state.withLock { $0.pending }) }
    }

    // MARK: recording

    /// Begins to record now and then, on a thread of its own.
    func start(_ writer: ShardWriter) throws(LarderError) {
        state.withLock { $0.isRunning = true }
        do {
            try WorkerThread(name: "savings") { [self] in
                while !waitForStop() { record(writer) }
                state.signal { $0.isRunning = false }
            }.detach()
        } catch {
            state.withLock { $0.isRunning = false }
            throw LarderError(.storage, "no thread to record savings with: \(error)")
        }
    }

    /// Ends the thread, if there is one.
    func stop() {
        state.signal { $0.isStopping = true }
        _ = state.wait { !$0.isRunning ? true : nil }
    }

    private func waitForStop() -> Bool {
        let deadline = Clock.deadline(seconds: Double(configuration.savingsSeconds))
        return state.wait(until: deadline) { $0.isStopping ? true : nil } ?? false
    }

    /// Moves the sums to the store, a bounded number a transaction; what it refuses stays.
    func record(_ writer: ShardWriter) {
        recording.withLock { _ in
            while true {
                let (buckets, rates) = take()
                if buckets.isEmpty && rates.isEmpty { return }
                do throws(LarderError) {
                    try writer.perform(RecordSavings(buckets, rates: rates, configuration))
                } catch {
                    putBack(buckets, rates)
                    log.warning("savings wait to be recorded", metadata: ["reason": "\(error)"])
                    return
                }
            }
        }
    }

    private func take() -> (buckets: [(SavingsBucket, SavingsTally)], rates: [UInt32: PrefillRate]) {
        let (buckets, rates, hasOverflowed) = state.withLock { state in
            let buckets = state.pending.prefix(Limits.savingsPerCommit).map { ($0.key, $0.value) }
            for (bucket, _) in buckets { state.pending[bucket] = nil }
            let rates = state.rates.byModel.filter { $0.value.isUnsaved }
            for modelID in rates.keys { state.rates.byModel[modelID]?.isUnsaved = false }
            defer { state.hasOverflowed = false }
            return (buckets, rates, state.hasOverflowed)
        }
        if hasOverflowed {
            log.warning("some savings were not counted", metadata: ["waiting": "\(Limits.savingsPending)"])
        }
        return (buckets, rates)
    }

    private func putBack(_ buckets: [(SavingsBucket, SavingsTally)], _ rates: [UInt32: PrefillRate]) {
        state.withLock { state in
            for (bucket, tally) in buckets { state.pending[bucket, default: SavingsTally()] += tally }
            for modelID in rates.keys { state.rates.byModel[modelID]?.isUnsaved = true }
        }
    }
}
