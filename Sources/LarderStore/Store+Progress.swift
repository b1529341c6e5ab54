import LarderLMDB

extension Store {
    /// Sessions in all shards.
    public var sessionCount: Int {
        shards.reduce(0) { sum, shard in
            guard let transaction = try? ReadTransaction.renewed(shard.environment) else { return sum }
            return sum + ((try? transaction.statistics(shard.databases.sessions).entries) ?? 0)
        }
    }

    /// True while a writer has dropped state to free, or sweeps.
    public var isCompacting: Bool { writers.contains { $0.isCompacting } }
}

extension ShardWriter {
    fileprivate var isCompacting: Bool { queue.withLock { $0.mayHaveGraves || $0.isSweeping } }
}
