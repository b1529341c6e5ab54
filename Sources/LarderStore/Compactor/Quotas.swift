import Glibc
import LarderModel
import LarderSystem

/// What namespaces take, in memory, beside what they may: for the sweep and for puts. The store's own count of it is
/// ``NamespaceUsage``.
final class Quotas: Sendable {
    private struct Entry {
        /// Stored bytes in each shard.
        var bytes: [Int: UInt64] = [:]
        var policy = NamespacePolicy()
        var ownerUserID: UInt32?

        var total: UInt64 { bytes.values.reduce(0, +) }
    }

    private let entries = Monitor<[UInt32: Entry]>([:])
    /// Bytes that the namespaces of one owner may take together; 0 for no bound.
    private let userMaximum: UInt64

    init(userMaximum: UInt64 = 0) { self.userMaximum = userMaximum }

    /// Takes a namespace's policy and owner into account from now on.
    func set(_ namespace: StoredNamespace) {
        entries.withLock {
            $0[namespace.id, default: Entry()].policy = namespace.policy
            $0[namespace.id]!.ownerUserID = namespace.ownerUserID
        }
    }

    /// Takes into account what a shard held when it was opened.
    func set(_ usage: NamespaceUsage, of namespaceID: UInt32, shard: Int) {
        entries.withLock { $0[namespaceID, default: Entry()].bytes[shard] = usage.bytes }
    }

    /// Forgets what shards held: they are to be opened again.
    func forgetUsage() { entries.withLock { entries in for id in entries.keys { entries[id]!.bytes = [:] } } }

    /// Takes a commit into account.
    func add(_ change: UsageChange, shard: Int) {
        entries.withLock { entries in
            for (id, change) in change.changes {
                var entry = entries[id] ?? Entry()
                entry.bytes[shard] = UInt64(max(0, Int(clamping: entry.bytes[shard] ?? 0) + change.bytes))
                entries[id] = entry
            }
        }
    }

    /// Stored bytes of a namespace.
    func bytes(_ namespaceID: UInt32) -> UInt64 { entries.withLock { $0[namespaceID]?.total ?? 0 } }

    /// Seconds that a namespace keeps state after its last use; 0 for ever.
    func ttlSeconds(_ namespaceID: UInt32) -> UInt32 { entries.withLock { $0[namespaceID]?.policy.ttlSeconds ?? 0 } }

    /// True if a namespace takes no more than is kept for it.
    ///
    /// - Parameter change: bytes that the transaction at hand adds, or takes away.
    func isReserved(_ namespaceID: UInt32, change: Int) -> Bool {
        entries.withLock { entries in
            guard let entry = entries[namespaceID], entry.policy.minBytes > 0 else { return false }
            return Int(clamping: entry.total) + change <= Int(clamping: entry.policy.minBytes)
        }
    }

    /// Bytes by which a namespace would be above its maximum with `bytes` more; 0 if it would not.
    ///
    /// - Parameter changes: what the transaction at hand adds to other namespaces.
    func excess(
        _ namespaceID: UInt32, with bytes: Int, changes: [UInt32: (blobs: Int, bytes: Int)] = [:]
    ) -> Excess {
        entries.withLock { entries in
            guard let entry = entries[namespaceID] else { return Excess() }
            // What a transaction frees may be more than what it puts.
            func above(_ total: UInt64, _ maximum: UInt64, others: Int = 0) -> Int {
                maximum == 0 ? 0 : max(0, Int(clamping: total) + bytes + others - Int(clamping: maximum))
            }
            let own = Excess(bytes: above(entry.total, entry.policy.maxBytes), maximum: entry.policy.maxBytes)
            guard userMaximum > 0, let owner = entry.ownerUserID else { return own }
            let total = entries.values.reduce(UInt64(0)) { $1.ownerUserID == owner ? $0 + $1.total : $0 }
            let others = changes.reduce(0) { sum, change in
                let isOther = change.key != namespaceID && entries[change.key]?.ownerUserID == owner
                return isOther ? sum + change.value.bytes : sum
            }
            let user = Excess(
                bytes: above(total, userMaximum, others: others), maximum: userMaximum, ofUser: owner)
            return user.bytes > own.bytes || own.maximum == 0 ? user : own
        }
    }

    /// By how much a namespace, or all that its owner has, is above what it may take.
    struct Excess {
        var bytes = 0
        var maximum: UInt64 = 0
        /// The owner, if it is the owner's bound.
        var ofUser: UInt32?

        /// Why a put is refused that finds no room below the maximum.
        var refusal: LarderError {
            ofUser.map { LarderError.userQuotaReached($0, maximum) } ?? LarderError.quotaReached(maximum)
        }
    }

    /// Namespaces above their maximum, by how much, and the shard that holds most of each.
    func aboveMaximum() -> [(namespaceID: UInt32, bytes: Int, shard: Int)] {
        entries.withLock { entries in
            entries.compactMap { id, entry in
                guard entry.policy.maxBytes > 0, entry.total > entry.policy.maxBytes,
                    let most = entry.bytes.max(by: { $0.value < $1.value })
                else { return nil }
                return (id, Int(entry.total - entry.policy.maxBytes), most.key)
            }
        }
    }

    /// What a namespace's state is hotter for taking little, in e-folds of frequency, and colder for taking much: so that
    /// one that floods loses its own first. 0 for one that takes as much as the average of those that take anything.
    func bias(_ namespaceID: UInt32) -> Double {
        entries.withLock { entries in
            var total: UInt64 = 0
            var users: UInt64 = 0
            for entry in entries.values where entry.total > 0 {
                total += entry.total
                users += 1
            }
            guard users > 1, let own = entries[namespaceID]?.total, own > 0 else { return 0 }
            let share = log(Double(total / users) / Double(own))
            return min(max(Self.weight * share, -Self.largestBias), Self.largestBias)
        }
    }

    /// e-folds of frequency for an e-fold of the share.
    private static let weight = 2.0
    private static let largestBias = 6.0
}
