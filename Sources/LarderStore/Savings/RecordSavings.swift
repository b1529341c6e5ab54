import LarderLMDB
import LarderModel

/// Adds sums to the hourly records of shard 0, writes rates, and forgets the oldest hours where there are too many.
final class RecordSavings: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let buckets: [(bucket: SavingsBucket, tally: SavingsTally)]
    private let rates: [UInt32: PrefillRate]
    /// Hours before it are forgotten.
    private let oldestHour: UInt64
    private let mostBuckets: Int

    init(
        _ buckets: [(SavingsBucket, SavingsTally)], rates: [UInt32: PrefillRate], _ configuration: StoreConfiguration
    ) {
        self.buckets = buckets
        self.rates = rates
        let hour = configuration.wallSeconds() / 3_600
        // A clock may say anything.
        oldestHour = hour > Limits.savingsHours ? hour - Limits.savingsHours : 0
        mostBuckets = configuration.savingsBuckets
    }

    func apply(_ context: inout WriteContext) throws {
        var sums = buckets
        for index in sums.indices {
            if let known = try tally(sums[index].bucket, context) {
                sums[index].tally += known
            } else if !context.takeRoom(bytes: SavingsTally.recordBytes) {
                throw LarderError.capReached
            }
        }
        for _ in rates where !context.takeRoom(bytes: PrefillRate.recordBytes) { throw LarderError.capReached }
        let database = context.shard.databases.savings
        for (bucket, tally) in sums {
            try bucket.words.withBytes { key in
                try tally.sealed(key: key).withUnsafeBytes { try context.transaction.put(database, key, $0) }
            }
        }
        for (modelID, rate) in rates {
            try PrefillRate.key(modelID: modelID).withBytes { key in
                try rate.sealed(key: key).withUnsafeBytes { try context.transaction.put(database, key, $0) }
            }
        }
        try forget(context)
        value = ()
    }

    /// What the store has of a bucket; nothing of a damaged one.
    private func tally(_ bucket: SavingsBucket, _ context: borrowing WriteContext) throws -> SavingsTally? {
        try bucket.words.withBytes { key in
            try context.transaction.get(context.shard.databases.savings, key).map {
                (try? SavingsTally($0, key: key)) ?? SavingsTally()
            }
        }
    }

    /// Deletes the oldest buckets: those that are too old, and those beyond what is kept. A bounded number, and more than
    /// one transaction adds.
    private func forget(_ context: borrowing WriteContext) throws {
        let database = context.shard.databases.savings
        let limit = min(mostBuckets, context.shard.mapPages)
        var excess = try context.transaction.statistics(database).entries - limit
        if excess > 0 { excess -= try rateRecords(context) }
        var doomed: [SavingsBucket] = []
        try context.transaction.scan(database, from: UnsafeRawBufferPointer(start: nil, count: 0)) { key, _ in
            guard let bucket = SavingsBucket(key), bucket.hour < oldestHour || doomed.count < excess,
                doomed.count < 2 * Limits.savingsPerCommit
            else { return false }
            doomed.append(bucket)
            return true
        }
        for bucket in doomed { _ = try bucket.words.withBytes { try context.transaction.delete(database, $0) } }
    }

    private func rateRecords(_ context: borrowing WriteContext) throws -> Int {
        var count = 0
        try WordKey(PrefillRate.hour, 0).withBytes { start in
            try context.transaction.scan(context.shard.databases.savings, from: start) { _, _ in
                count += 1
                return true
            }
        }
        return count
    }
}
