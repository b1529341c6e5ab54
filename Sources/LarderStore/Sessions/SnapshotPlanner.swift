import LarderModel

/// Where recurrent states of a session are worth their bytes: at the last full boundary, at branch points, at a stride.
///
/// A recurrent state is valid at one offset, so a prefix can be reused only up to the deepest state in it. The next
/// turn goes on from the last boundary; other lines leave where lines left before; strides are for what nobody foresaw.
///
/// ``plan(length:branchPoints:existing:resumedAt:)`` says where a worker should save, ``keeps(_:branchPoints:)`` which
/// of the stored states survive thinning. Both rank offsets alike: the last, then branch points from the most recent,
/// then stride points from the end. All offsets and lengths are in tokens. Nothing here does I/O.
public struct SnapshotPlanner: Sendable, Hashable {
    /// Tokens from one boundary to the next: what a worker saves lies on a multiple.
    public let boundary: UInt64
    /// Tokens from one stride point to the next, a multiple of ``boundary``; 0 for none.
    public let stride: UInt64
    /// Most offsets of one answer; 0 for no bound but ``Limits/snapshotsPerPlan``, which always holds for a plan.
    public let budget: Int

    /// A rule; `stride` is rounded up to a multiple of `boundary`, and is none if that overflows.
    ///
    /// `boundary` is at least 1, `budget` at least 0: both are the caller's to check.
    public init(boundary: UInt64, stride: UInt64 = 0, budget: Int = 0) {
        precondition(boundary > 0, "states need a boundary of at least one token")
        precondition(budget >= 0, "a budget is a count")
        self.boundary = boundary
        let rest = stride % boundary
        let (rounded, overflows) = stride.addingReportingOverflow(rest == 0 ? 0 : boundary - rest)
        self.stride = overflows ? 0 : rounded
        self.budget = budget
    }

    /// The offsets at which a worker should save states, ascending: multiples of the boundary from 1 to `length`.
    ///
    /// - Parameters:
    ///   - length: Tokens of the session once the worker is done.
    ///   - branchPoints: Where this line was forked, truncated, or left by another; in the order in which they became
    ///     known, oldest first. Each is rounded down to the boundary; those beyond `length` are ignored.
    ///   - existing: Where states are stored already. They are not asked for again and cost none of the budget.
    ///   - resumedAt: Where the worker began to compute: it passes only offsets beyond.
    public func plan(
        length: UInt64, branchPoints: [UInt64] = [], existing: Set<UInt64> = [], resumedAt: UInt64 = 0
    ) -> [UInt64] {
        let bound = budget == 0 ? Limits.snapshotsPerPlan : min(budget, Limits.snapshotsPerPlan)
        var chosen: Set<UInt64> = []
        func add(_ offset: UInt64) {
            let point = offset - offset % boundary
            if chosen.count < bound, point > resumedAt, !existing.contains(point) { chosen.insert(point) }
        }
        add(length)
        for point in branchPoints.reversed() where point <= length { add(point) }
        if stride > 0 {
            var point = length - length % stride
            while chosen.count < bound, point > resumedAt {
                add(point)
                point -= stride
            }
        }
        return chosen.sorted()
    }

    /// The stored states of one line that survive thinning, ascending. 0 needs no state and never survives.
    ///
    /// The deepest state always does. For each branch point and each stride point it is the deepest state up to there,
    /// on a boundary or not: so without a budget, what can be resumed at any of them is the same before and after.
    /// States that ended earlier turns go, unless a branch or stride point has none nearer. The budget bounds what is
    /// kept, in the order above. Thinning twice does no more than once; a plan, with its branch points, is kept whole.
    ///
    /// - Parameters:
    ///   - stored: Offsets of the states, in any order.
    ///   - branchPoints: As for a plan; those beyond the deepest state call for that state.
    public func keeps(_ stored: [UInt64], branchPoints: [UInt64] = []) -> [UInt64] {
        let states = Set(stored).subtracting([0]).sorted()
        guard let last = states.last else { return [] }
        let bound = budget == 0 ? Int.max : budget
        var kept: Set<UInt64> = [last]
        for point in branchPoints.reversed() where kept.count < bound {
            if let state = Self.deepest(states, atMost: point) { kept.insert(state) }
        }
        // From one stored state to the next, not from stride to stride: an offset costs nothing.
        var point = stride == 0 ? 0 : last - last % stride
        while kept.count < bound, point > 0, let state = Self.deepest(states, atMost: point) {
            kept.insert(state)
            point = (state - 1) - (state - 1) % stride
        }
        return kept.sorted()
    }

    /// The largest of ascending offsets up to `bound`: binary search.
    private static func deepest(_ states: [UInt64], atMost bound: UInt64) -> UInt64? {
        var (low, high) = (0, states.count)
        while low < high {
            let middle = (low + high) / 2
            if states[middle] <= bound { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : states[low - 1]
    }
}
