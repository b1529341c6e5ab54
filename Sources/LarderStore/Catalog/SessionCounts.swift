import LarderLMDB
import LarderModel
import LarderSystem

/// How many sessions each namespace has, over all shards. A session counts from the moment that a writer makes it, a moment
/// before its commit, so that writers of several shards cannot go beyond a limit together.
final class SessionCounts: Sendable {
    private let counts: Monitor<[UInt32: Int]>

    /// Counts what `shards` hold.
    init(_ shards: [Shard]) throws {
        var counts: [UInt32: Int] = [:]
        for shard in shards {
            let transaction = try ReadTransaction(shard.environment)
            try transaction.renew()
            let start = UnsafeRawBufferPointer(start: nil, count: 0)
            try transaction.scan(shard.databases.names, from: start) { key, _ in
                if let namespaceID = SessionNames.namespaceID(key) { counts[namespaceID, default: 0] += 1 }
                return true
            }
        }
        self.counts = Monitor(counts)
    }

    func count(_ namespaceID: UInt32) -> Int { counts.withLock { $0[namespaceID] ?? 0 } }

    /// Counts one more; false if there are `limit` already. A limit of 0 is none.
    func add(_ namespaceID: UInt32, limit: UInt32) -> Bool {
        counts.withLock { counts in
            let count = counts[namespaceID] ?? 0
            guard limit == 0 || count < Int(limit) else { return false }
            counts[namespaceID] = count + 1
            return true
        }
    }

    func remove(_ namespaceID: UInt32) {
        counts.withLock { counts in
            let count = counts[namespaceID] ?? 0
            precondition(count > 0, "a session less than none")
            counts[namespaceID] = count == 1 ? nil : count - 1
        }
    }
}

/// A mutation's place among the sessions of a namespace: taken when it makes a session, given back if that is not committed.
struct SessionPlace {
    private let catalog: Catalog
    private var namespaceID: UInt32?

    init(_ catalog: Catalog) { self.catalog = catalog }

    /// Takes the place, unless it is taken: a mutation may be applied again. Throws `full`.
    mutating func take(_ namespaceID: UInt32) throws(LarderError) {
        if self.namespaceID != nil { return }
        guard let namespace = catalog.namespace(namespaceID) else {
            throw LarderError(.internal, "there is no namespace \(namespaceID)")
        }
        let limit = namespace.policy.maxSessions
        guard catalog.sessionCounts.add(namespaceID, limit: limit) else {
            throw LarderError(
                .full,
                "namespace '\(namespace.name.clipped)' has \(limit) sessions or more, its limit; drop sessions that are "
                    + "not wanted, or have the operator raise max_sessions")
        }
        self.namespaceID = namespaceID
    }

    /// Gives the place back unless the session is committed.
    mutating func settle(isUsed: Bool) {
        if let namespaceID, !isUsed { catalog.sessionCounts.remove(namespaceID) }
        namespaceID = nil
    }
}
