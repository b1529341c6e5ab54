import LarderModel

/// The counts of the sessions that were used last, in memory only: two generations, of which the older is forgotten when
/// the younger is full. So at least `limit` are remembered, and counting never waits for a clean-up.
struct SessionTable: Sendable {
    struct Entry: Sendable {
        let account: SavingsAccount
        /// Seconds since 1970 from which on everything is counted.
        let sinceSeconds: UInt64
        var tally = SavingsTally()
    }

    private let limit: Int
    private var young: [UInt64: Entry] = [:]
    private var old: [UInt64: Entry] = [:]
    /// Since when a session without an entry was not used.
    private var sinceSeconds: UInt64

    init(openedSeconds: UInt64, limit: Int) {
        sinceSeconds = openedSeconds
        self.limit = limit
    }

    mutating func add(_ entry: SessionTally, nowSeconds: UInt64) {
        let known = young[entry.session] ?? old.removeValue(forKey: entry.session)
        var counts = known ?? Entry(account: entry.account, sinceSeconds: sinceSeconds)
        counts.tally += entry.tally
        if known == nil, young.count >= limit {
            if !old.isEmpty { sinceSeconds = max(sinceSeconds, nowSeconds) }
            old = young
            young = [:]
        }
        young[entry.session] = counts
    }

    /// A session's counts, and since when (seconds since 1970).
    func counts(of session: UInt64) -> (account: SavingsAccount?, tally: SavingsTally, sinceSeconds: UInt64) {
        let entry = young[session] ?? old[session]
        return (entry?.account, entry?.tally ?? SavingsTally(), entry?.sinceSeconds ?? sinceSeconds)
    }
}
