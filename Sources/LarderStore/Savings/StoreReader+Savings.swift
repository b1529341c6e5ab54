import LarderLMDB
import LarderModel

/// What was counted for a model in a namespace, or for a session.
public struct SavingsRow: Sendable {
    /// Whose.
    public let namespace: StoredNamespace
    /// The model; of a parallel group that of its lowest rank, for all of them.
    public let modelID: UInt32
    /// The sums.
    public let tally: SavingsTally
    /// Tokens a second of prefill, as is known now; 0 if it is not.
    public let prefillRate: UInt32
    /// Where that comes from.
    public let rateOrigin: PrefillRateOrigin

    /// What computing the tokens anew would have taken, in milliseconds; 0 if no rate is known.
    public var prefillAvoidedMilliseconds: UInt64 {
        if prefillRate == 0 { return 0 }
        return UInt64(clamping: tally.notRecomputedTokens.multipliedFullWidth(by: 1_000), dividedBy: prefillRate)
    }
}

/// One page of what was counted in some hours.
public struct SavingsReport: Sendable {
    /// Seconds since 1970 where the first hour begins in which anything was counted; for a session, since when.
    public let from: UInt64
    /// Seconds since 1970 where the last such hour ends; for a session, now.
    public let to: UInt64
    /// By namespace and model, in order of their ids.
    public let rows: [SavingsRow]
    /// What to go on after; 0 at the end.
    public let next: UInt64
}

/// What a report is about.
public struct SavingsQuery: Sendable {
    /// Seconds since 1970; the whole hour that it lies in counts.
    public var from: UInt64
    /// Seconds since 1970, not included; the whole hour before it counts. 0 for no end.
    public var to: UInt64
    /// One namespace's name; empty for all that the user may see.
    public var namespace: String
    /// One model; 0 for all.
    public var modelID: UInt32
    /// Where the page before ended; 0 to start.
    public var after: UInt64

    /// A query from its fields.
    public init(from: UInt64 = 0, to: UInt64 = 0, namespace: String = "", modelID: UInt32 = 0, after: UInt64 = 0) {
        self.from = from
        self.to = to
        self.namespace = namespace
        self.modelID = modelID
        self.after = after
    }
}

extension StoreReader {
    /// One page of what was counted, by namespace and model, as far as the user may see it.
    ///
    /// Throws `invalidArgument` for a range that ends before it begins, `unknownModel` for a model that the store does not hold.
    public func savings(_ query: SavingsQuery) throws(LarderError) -> SavingsReport {
        guard query.to == 0 || query.from < query.to else {
            throw LarderError(
                .invalidArgument,
                "the range from \(query.from) to \(query.to) has no second in it; give an earlier start or a later end")
        }
        var wanted: StoredNamespace?
        if !query.namespace.isEmpty {
            wanted = namespace(named: query.namespace)
            if wanted == nil { return SavingsReport(from: 0, to: 0, rows: [], next: 0) }
        }
        let groups = ModelGroups(store.catalog.models(after: 0, limit: Limits.models))
        if query.modelID != 0 && store.catalog.model(query.modelID) == nil {
            throw LarderError(.unknownModel, "there is no model \(query.modelID); list the models to see which are")
        }
        let model = query.modelID == 0 ? 0 : groups.first(of: query.modelID)
        let hours = query.from / 3_600...(query.to == 0 ? PrefillRate.hour - 1 : (query.to - 1) / 3_600)
        var sums: [SavingsAccount: SavingsTally] = [:]
        var counted: ClosedRange<UInt64>?
        var namespaces: [UInt32: StoredNamespace] = [:]
        func add(_ bucket: SavingsBucket, _ tally: SavingsTally) {
            let modelID = groups.first(of: bucket.account.modelID)
            guard hours.contains(bucket.hour), model == 0 || model == modelID else { return }
            let id = bucket.account.namespaceID
            guard let space = namespaces[id] ?? store.catalog.namespace(id), rights(space) > .none,
                wanted == nil || wanted?.id == id
            else { return }
            namespaces[id] = space
            sums[SavingsAccount(modelID: modelID, namespaceID: id), default: SavingsTally()] += tally
            counted = min(counted?.lowerBound ?? bucket.hour, bucket.hour)...max(counted?.upperBound ?? 0, bucket.hour)
        }
        try store.savings.withPending { pending throws(LarderError) in
            for (bucket, tally) in pending { add(bucket, tally) }
            try forEachBucket(hours, add)
        }
        return page(sums, counted, namespaces, groups, after: query.after)
    }

    /// What was counted for one session, and since when: since the daemon's start, unless it serves very many sessions.
    public func savings(session: UInt64) throws(LarderError) -> SavingsReport {
        let context = try context(session)
        guard let namespace = store.catalog.namespace(context.record.namespaceID),
            let modelID = context.record.models.first?.modelID
        else { throw LarderError.unknown(session: session) }
        let counts = store.savings.counts(of: session)
        let known = store.savings.rate(of: context.record.models.map(\.modelID))
        let row = SavingsRow(
            namespace: namespace, modelID: modelID, tally: counts.tally, prefillRate: known.rate,
            rateOrigin: known.origin)
        let now = store.configuration.wallSeconds()
        return SavingsReport(
            from: min(counts.sinceSeconds, now), to: now, rows: counts.account == nil ? [] : [row], next: 0)
    }

    private func forEachBucket(
        _ hours: ClosedRange<UInt64>, _ body: (SavingsBucket, SavingsTally) -> Void
    ) throws(LarderError) {
        try read(shard: 0) { transaction, shard in
            try WordKey(hours.lowerBound, 0).withBytes { start in
                try transaction.scan(shard.databases.savings, from: start) { key, value in
                    guard let bucket = SavingsBucket(key), bucket.hour <= hours.upperBound else { return false }
                    // A damaged record hides its own hour of its own account.
                    if let tally = try? SavingsTally(value, key: key) { body(bucket, tally) }
                    return true
                }
            }
        }
    }

    private func page(
        _ sums: [SavingsAccount: SavingsTally], _ counted: ClosedRange<UInt64>?,
        _ namespaces: [UInt32: StoredNamespace], _ groups: ModelGroups, after: UInt64
    ) -> SavingsReport {
        let left = sums.filter { $0.key.order > after }.sorted { $0.key.order < $1.key.order }
        let rows = left.prefix(Limits.pageEntries).map { account, tally in
            let known = store.savings.rate(of: groups.all(of: account.modelID))
            return SavingsRow(
                namespace: namespaces[account.namespaceID]!, modelID: account.modelID, tally: tally,
                prefillRate: known.rate, rateOrigin: known.origin)
        }
        return SavingsReport(
            from: counted.map { $0.lowerBound &* 3_600 } ?? 0, to: counted.map { ($0.upperBound &+ 1) &* 3_600 } ?? 0,
            rows: rows, next: left.count > rows.count ? left[rows.count - 1].key.order : 0)
    }
}

extension SavingsAccount {
    /// By namespace, then model; never 0, as ids count from 1.
    fileprivate var order: UInt64 { UInt64(namespaceID) << 32 | UInt64(modelID) }
}

extension UInt64 {
    /// The quotient, or the largest number if it does not fit.
    fileprivate init(clamping dividend: (high: UInt64, low: UInt64.Magnitude), dividedBy divisor: UInt32) {
        let divisor = UInt64(divisor)
        self = dividend.high >= divisor ? .max : divisor.dividingFullWidth(dividend).quotient
    }
}

extension Store {
    /// Writes what was counted of savings since it was last written, as happens every so often by itself.
    public func recordSavings() { savings.record(writers[0]) }

    /// Sets how fast a model's workers compute, in tokens a second, before what they report themselves; 0 forgets it.
    /// Committed when it returns. Throws `unknownModel`.
    public func setPrefillRate(_ rate: UInt32, modelID: UInt32) throws(LarderError) {
        guard catalog.model(modelID) != nil else {
            throw LarderError(.unknownModel, "there is no model \(modelID); declare the model first")
        }
        try savings.declare(rate, modelID: modelID, writers[0])
    }
}
