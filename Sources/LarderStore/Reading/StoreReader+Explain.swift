import LarderLMDB
import LarderModel

/// Why a session's resume point is where it is.
public struct Explanation: Sendable {
    /// Why one component of one rank does not reach the offset that was asked for.
    public struct Track: Sendable {
        /// Rank in the parallel group.
        public let rank: UInt16
        /// Component index.
        public let component: UInt16
        /// How far this component alone can be restored, up to the offset asked for.
        public let reach: UInt64
        /// Why no further.
        public let cause: MissCause
        /// The first tokens that are missing; empty for a state, which is missing at that offset.
        public let missing: Range<UInt64>
        /// For an eviction: by which rule, and when, in seconds since 1970.
        public let eviction: (rule: EvictionRule, seconds: UInt64)?
    }

    /// The offset asked for: at most the end of the session.
    public let at: UInt64
    /// Where the last chunk ends that is stored, or was evicted and is remembered.
    public let end: UInt64
    /// The resume point up to `at`.
    public let offset: UInt64
    /// Every component of every rank that has opened the session.
    public let tracks: [Track]
    /// Ranks of the group that have not opened the session: without them nothing can be restored.
    public let missingRanks: [UInt16]
    /// The field in which the model that was asked about differs from the session's; empty if none does, or none was.
    public let modelDifference: String
}

extension StoreReader {
    /// Explains how far a session can be restored, up to `bound`.
    ///
    /// - Parameter modelID: a model that a worker would resume with; 0 for none.
    public func explain(session: UInt64, atMost bound: UInt64, modelID: UInt32 = 0) throws(LarderError) -> Explanation {
        let context = try context(session)
        var damaged: [ChunkKey] = []
        let planner = try planner(context) { damaged.append($0) }
        let end = max(planner.tracks.map(\.end).max() ?? 0, try evictedEnd(context))
        let at = min(bound, end)
        var tracks: [Explanation.Track] = []
        for track in planner.tracks { tracks.append(try explain(track, at, context, damaged)) }
        let group = context.models.values.first?.declaration.groupSize ?? 0
        return Explanation(
            at: at, end: end, offset: planner.resumePoint(atMost: at), tracks: tracks,
            missingRanks: (0..<UInt16(clamping: group)).filter { context.models[$0] == nil },
            modelDifference: try difference(modelID, context))
    }

    func explain(
        _ track: ResumePlanner.Track, _ at: UInt64, _ context: SessionContext, _ damaged: [ChunkKey]
    ) throws(LarderError) -> Explanation.Track {
        func explained(
            _ cause: MissCause, _ missing: Range<UInt64>, _ eviction: (EvictionRule, UInt64)? = nil
        ) -> Explanation.Track {
            Explanation.Track(
                rank: track.rank, component: track.component, reach: track.reach(atMost: at), cause: cause,
                missing: missing, eviction: eviction.map { (rule: $0.0, seconds: $0.1) })
        }
        guard let gap = track.gap(at: at) else { return explained(.none, at..<at) }
        let isDamaged = damaged.contains {
            $0.rank == track.rank && UInt16($0.component) == track.component && gap.touches($0.offset)
        }
        if isDamaged { return explained(.damaged, gap) }
        if let tombstone = try tombstone(track, gap, context) {
            return explained(.evicted, gap, (tombstone.rule, tombstone.evictedSeconds))
        }
        return explained(track.chunks.isEmpty ? .noState : .neverStored, gap)
    }

    /// Where the last chunk ended that was evicted from what the session sees and is remembered; 0 for none.
    func evictedEnd(_ context: SessionContext) throws(LarderError) -> UInt64 {
        try read(shard: context.shard) { transaction, shard in
            var end: UInt64 = 0
            for segment in context.path.segments {
                for track in context.tracks {
                    let bound = ChunkKey(
                        line: segment.line, rank: track.rank, component: track.component,
                        offset: min(segment.view.limit, ChunkKey.largestOffset))
                    let found = try bound.words.withBytes { bytes in
                        try transaction.last(shard.databases.tombstones, notAbove: bytes) { key, value in
                            (try ChunkKey(key), try? Tombstone(value, key: key))
                        }
                    }
                    guard let (key, tombstone) = found, key.isBeside(bound), let tombstone else { continue }
                    end = max(end, min(key.offset + UInt64(tombstone.tokens), segment.view.limit))
                }
            }
            return end
        }
    }

    /// The first tombstone of a track in a gap, in any line of the session's past.
    private func tombstone(
        _ track: ResumePlanner.Track, _ gap: Range<UInt64>, _ context: SessionContext
    ) throws(LarderError) -> Tombstone? {
        try read(shard: context.shard) { transaction, shard in
            for segment in context.path.segments where segment.view.limit >= gap.lowerBound {
                let start = ChunkKey(
                    line: segment.line, rank: track.rank, component: UInt8(track.component),
                    offset: min(gap.lowerBound, ChunkKey.largestOffset))
                var found: Tombstone?
                try start.words.withBytes { bytes in
                    try transaction.scan(shard.databases.tombstones, from: bytes) { key, value in
                        let chunk = try ChunkKey(key)
                        if chunk.isBeside(start), gap.touches(chunk.offset) { found = try? Tombstone(value, key: key) }
                        return false
                    }
                }
                if let found { return found }
            }
            return nil
        }
    }

    private func difference(_ modelID: UInt32, _ context: SessionContext) throws(LarderError) -> String {
        guard modelID != 0 else { return "" }
        guard let model = store.catalog.model(modelID) else {
            throw LarderError(.unknownModel, "there is no model \(modelID); declare the model first")
        }
        let declaration = model.declaration
        if let known = context.models[UInt16(declaration.rank)] {
            return known.id == modelID ? "" : declaration.firstDifference(from: known.declaration) ?? ""
        }
        guard let other = context.models.values.first, !declaration.sharesGroup(with: other.declaration) else {
            return ""
        }
        var sameRank = declaration
        sameRank.rank = other.declaration.rank
        return sameRank.firstDifference(from: other.declaration) ?? ""
    }
}

extension Range<UInt64> {
    /// True if an offset lies in the range, or is the one that an empty range stands for.
    fileprivate func touches(_ offset: UInt64) -> Bool { contains(offset) || (isEmpty && offset == lowerBound) }
}
