import LarderModel
import LarderSystem

/// Finds a session's resume point: the largest offset at which every component of every rank can be restored.
///
/// Attention is needed whole from 0, sliding attention whole over its window, a recurrent state exactly at the offset.
struct ResumePlanner {
    /// What is stored of one component, by offset.
    struct Track {
        let rank: UInt16
        let component: UInt16
        let kind: ComponentKind
        let window: UInt64
        let chunks: [StoredChunkEntry]
        /// The stored token ranges, neighbours joined, in order.
        private let runs: [Range<UInt64>]

        /// A track of chunks in order of offset.
        init(rank: UInt16, component: UInt16, kind: ComponentKind, window: UInt64, chunks: [StoredChunkEntry]) {
            self.rank = rank
            self.component = component
            self.kind = kind
            self.window = window
            self.chunks = chunks
            var runs: [Range<UInt64>] = []
            for chunk in chunks {
                if let last = runs.last, last.upperBound == chunk.offset {
                    runs[runs.count - 1] = last.lowerBound..<chunk.end
                } else {
                    runs.append(chunk.offset..<chunk.end)
                }
            }
            self.runs = runs
        }

        /// The largest offset up to `bound` at which this component alone can be restored; 0 needs nothing.
        func reach(atMost bound: UInt64) -> UInt64 {
            switch kind {
            case .attention: return min(bound, runs.first.map { $0.lowerBound == 0 ? $0.upperBound : 0 } ?? 0)
            case .recurrent:
                let after = Self.count(chunks.count) { chunks[$0].offset <= bound }
                return after == 0 ? 0 : chunks[after - 1].offset
            case .sliding:
                // In each run of neighbouring chunks, from the last: its end, if the window before it lies in the run.
                var index = Self.count(runs.count) { runs[$0].lowerBound < bound }
                while index > 0 {
                    index -= 1
                    let end = min(bound, runs[index].upperBound)
                    if runs[index].lowerBound == 0 || end - runs[index].lowerBound >= window { return end }
                }
                return 0
            }
        }

        /// How many of the first `count` indices satisfy a condition that all satisfy up to some index: binary search.
        private static func count(_ count: Int, _ isBefore: (Int) -> Bool) -> Int {
            var (low, high) = (0, count)
            while low < high {
                let middle = (low + high) / 2
                if isBefore(middle) { low = middle + 1 } else { high = middle }
            }
            return low
        }

        /// What is missing for a restoration at `bound`: the first tokens that are, or for a state the empty range at it;
        /// nil if nothing is.
        func gap(at bound: UInt64) -> Range<UInt64>? {
            guard bound > 0 else { return nil }
            if kind == .recurrent { return reach(atMost: bound) == bound ? nil : bound..<bound }
            var start = kind == .sliding && bound > window ? bound - window : 0
            for run in runs where run.upperBound > start {
                if run.lowerBound > start { return start..<min(run.lowerBound, bound) }
                start = run.upperBound
                if start >= bound { return nil }
            }
            return start..<bound
        }

        /// The offset at which its last chunk ends.
        var end: UInt64 { kind == .recurrent ? chunks.last?.offset ?? 0 : runs.last?.upperBound ?? 0 }

        /// The chunks that a restoration at `offset` loads.
        func needed(at offset: UInt64) -> [StoredChunkEntry] {
            guard offset > 0 else { return [] }
            switch kind {
            case .attention: return chunks.filter { $0.offset < offset }
            case .recurrent: return chunks.filter { $0.offset == offset }
            case .sliding:
                let start = offset > window ? offset - window : 0
                return chunks.filter { $0.offset < offset && $0.end > start }
            }
        }
    }

    let tracks: [Track]
    /// False if a rank of the group has not opened the session: then nothing can be restored.
    let isComplete: Bool

    /// What a restoration at `offset` loads, in raw bytes.
    func rawBytes(at offset: UInt64) -> Int {
        tracks.reduce(0) { $0 + $1.needed(at: offset).reduce(0) { $0 + $1.rawBytes } }
    }

    /// The resume point up to `offset` with which loading, and computing the rest up to `offset` at `prefillRate` tokens a
    /// second, take least together.
    func cheapest(upTo offset: UInt64, prefillRate: UInt32, load: (Int) -> Double) -> UInt64 {
        guard prefillRate > 0, offset > 0 else { return offset }
        var best = (offset: offset, cost: load(rawBytes(at: offset)))
        for step in 0..<Limits.resumeCandidates {
            let candidate = resumePoint(atMost: offset / Limits.resumeCandidates * step)
            let computing = Double(offset - candidate) / Double(prefillRate) * 1e9
            let cost = load(rawBytes(at: candidate)) + computing
            if cost < best.cost { best = (candidate, cost) }
        }
        return best.offset
    }

    /// The largest offset up to `bound` at which all can be restored.
    func resumePoint(atMost bound: UInt64) -> UInt64 {
        guard isComplete, !tracks.isEmpty else { return 0 }
        var offset = bound
        while true {
            // Lowering the bound for one component can lower another's reach: go on until all agree.
            let next = tracks.reduce(offset) { min($0, $1.reach(atMost: $0)) }
            if next == offset || next == 0 { return next }
            offset = next
        }
    }
}

/// The answer to a resume request.
public struct ResumePlan: Sendable {
    /// The resume point in tokens.
    public let offset: UInt64
    /// How far each component alone reaches.
    public let reaches: [(rank: UInt16, component: UInt16, offset: UInt64)]
    /// The chunks to load, by offset.
    public let chunks: [StoredChunkEntry]
    /// Raw bytes of those chunks.
    public let rawBytes: Int
    /// What loading them takes, in nanoseconds, as page-ins went lately.
    public let loadNanoseconds: Double
    /// The resume point with which loading and computing the rest take least together.
    public let cheapestOffset: UInt64
    /// Tokens a second that this was worked out with; 0 if no rate is known.
    public let prefillRate: UInt32
    /// Tokens that were asked for: the bound, or without one all that the session holds or held.
    public var asked: UInt64
    /// Why fewer can be restored; nil if all can.
    public var shortfall: Shortfall?
}

extension StoreReader {
    /// How far a session can be restored, up to `bound` tokens, and what to load for it. Those chunks are then kept from
    /// eviction for ``Limits/leaseSeconds``, or until this reader ends or resumes the session again.
    ///
    /// - Parameter prefillRate: tokens that the worker computes in a second, which is learned for its model; 0 to take
    ///   the rate that was declared for the model, or else learned.
    public func resume(
        session: UInt64, atMost bound: UInt64 = .max, prefillRate: UInt32 = 0
    ) throws(LarderError) -> ResumePlan {
        // What a plan that lost chunks had beside them stays while the next one is made: it loses no more.
        var held: Lease?
        beginTurn()
        defer { withExtendedLifetime(held) {} }
        for _ in 0..<Limits.resumeAttempts {
            let evictions = store.leases.evictions
            let context = try context(session)
            var damaged: [ChunkKey] = []
            let planner = try planner(context) { damaged.append($0) }
            for key in damaged { store.reportDamage(key, session: session, "the checksum of its record fails") }
            var plan = plan(planner, atMost: bound, prefillRate: rate(context.record, reported: prefillRate))
            if lease(plan.chunks, session: session, shard: context.shard, since: evictions) {
                noteUse([(session, plan.offset)])
                store.shards[context.shard].heat.use(plan.chunks.lazy.map(\.heatKey))
                noteResume(session: session, offset: plan.offset)
                (plan.asked, plan.shortfall) = try shortfall(
                    planner, context, atMost: bound, offset: plan.offset, damaged: damaged)
                if prefillRate > 0, let model = context.record.models.first {
                    store.savings.learn(prefillRate, modelID: model.modelID)
                }
                return plan
            }
            let blobs = plan.chunks.map { LeaseTable.Blob(shard: context.shard, id: $0.blobID) }
            held = store.leases.take(blobs, since: nil)
            store.leases.waitForEvictions(of: blobs)
        }
        throw LarderError(
            .busy, "the session lost chunks all the while that its resume point was looked for; ask again")
    }

    /// The rate to plan with: what the worker reports, else what is known of its model.
    private func rate(_ session: SessionRecord, reported: UInt32) -> UInt32 {
        reported > 0 ? reported : store.savings.rate(of: session.models.map(\.modelID)).rate
    }

    private func plan(_ planner: ResumePlanner, atMost bound: UInt64, prefillRate: UInt32) -> ResumePlan {
        let offset = planner.resumePoint(atMost: bound)
        let chunks = planner.tracks.flatMap { $0.needed(at: offset) }.sorted {
            ($0.offset, $0.rank, $0.component) < ($1.offset, $1.rank, $1.component)
        }
        let rawBytes = chunks.reduce(0) { $0 + $1.rawBytes }
        return ResumePlan(
            offset: offset, reaches: planner.tracks.map { ($0.rank, $0.component, $0.reach(atMost: .max)) },
            chunks: chunks, rawBytes: rawBytes, loadNanoseconds: store.speed.expectedNanoseconds(bytes: rawBytes),
            cheapestOffset: planner.cheapest(
                upTo: offset, prefillRate: prefillRate, load: store.speed.expectedNanoseconds),
            prefillRate: prefillRate, asked: offset)
    }

    /// What is stored of a session, track by track. Keys with damaged records go to `damaged`.
    func planner(
        _ context: SessionContext, damaged: ((ChunkKey) -> Void)? = nil
    ) throws(LarderError) -> ResumePlanner {
        var byTrack: [UInt32: [StoredChunkEntry]] = [:]
        try forEachChunk(context, from: ChunkPosition(), damaged: damaged) { key, record in
            byTrack[UInt32(key.rank) << 8 | UInt32(key.component), default: []].append(StoredChunkEntry(key, record))
            return true
        }
        var tracks: [ResumePlanner.Track] = []
        for (rank, model) in context.models.sorted(by: { $0.key < $1.key }) {
            for (index, component) in model.declaration.components.enumerated() {
                tracks.append(
                    ResumePlanner.Track(
                        rank: rank, component: UInt16(index), kind: component.kind, window: UInt64(component.window),
                        chunks: byTrack[UInt32(rank) << 8 | UInt32(index)] ?? []))
            }
        }
        let group = context.models.values.first?.declaration.groupSize ?? 0
        return ResumePlanner(tracks: tracks, isComplete: context.models.count == Int(group))
    }
}
