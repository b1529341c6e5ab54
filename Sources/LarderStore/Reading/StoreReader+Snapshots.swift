import LarderLMDB
import LarderModel

extension StoreReader {
    /// The offsets at which a worker should save the recurrent states of a session on its way to `length` tokens: by
    /// `planner`'s rule, from the branch points that the session's line shows and the states that are stored.
    ///
    /// - Parameter resumedAt: where the worker began to compute, in tokens: nothing can be saved up to there.
    public func snapshots(
        session: UInt64, length: UInt64, resumedAt: UInt64, planner: SnapshotPlanner
    ) throws(LarderError) -> [UInt64] {
        let context = try context(session)
        var existing: Set<UInt64>?
        for track in context.tracks where track.isState {
            var states: Set<UInt64> = []
            _ = try read(shard: context.shard) { transaction, shard in
                try context.path.walk(track, from: 0, transaction, shard, damaged: { _ in }) { key, _ in
                    states.insert(key.offset)
                    return true
                }
            }
            // A state that one component lacks is of no use to the others.
            existing = existing?.intersection(states) ?? states
        }
        guard let existing else { return [] }
        return planner.plan(
            length: min(length, Limits.offsetTokens - 1), branchPoints: try branchPoints(context), existing: existing,
            resumedAt: resumedAt)
    }

    /// Where lines leave the session's past: its own forks and rewinds, and those of others; oldest first, a bounded number
    /// of the latest.
    private func branchPoints(_ context: SessionContext) throws(LarderError) -> [UInt64] {
        try read(shard: context.shard) { transaction, shard in
            var points: [(child: UInt64, limit: UInt64)] = []
            for segment in context.path.segments {
                try WordKey(segment.line, 0).withBytes { start in
                    try transaction.scan(shard.databases.children, from: start) { key, value in
                        guard WordKey.word(key, 0) == segment.line else { return false }
                        if let view = try? LineChild.view(value, key: key), view.limit <= segment.view.limit {
                            points.append((WordKey.word(key, 1), view.limit))
                        }
                        return true
                    }
                }
                if points.count > Limits.snapshotsPerPlan { break }
            }
            // Line ids rise with time.
            return points.sorted { $0.child < $1.child }.suffix(Limits.snapshotsPerPlan).map(\.limit)
        }
    }
}
