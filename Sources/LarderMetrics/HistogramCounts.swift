/// A histogram's buckets at a moment. The difference of two is what came between them.
public struct HistogramCounts: Sendable, Hashable {
    /// Upper bounds, ascending, in the unit that is shown; the last bucket has none.
    public let bounds: [Double]
    /// How many fell into each bucket, one more than there are bounds.
    public private(set) var counts: [UInt64]

    /// Counts from their fields. A histogram without buckets has one, without a bound.
    public init(bounds: [Double], counts: [UInt64]) {
        precondition(counts.count == bounds.count + 1, "a histogram has one bucket more than bounds")
        self.bounds = bounds
        self.counts = counts
    }

    /// Adds the counts of a histogram with the same bounds.
    public mutating func add(_ other: HistogramCounts) {
        precondition(bounds == other.bounds, "histograms with different buckets have no sum")
        for index in counts.indices { counts[index] &+= other.counts[index] }
    }

    /// What came since an earlier look at the same histogram.
    public func since(_ earlier: HistogramCounts) -> HistogramCounts {
        precondition(bounds == earlier.bounds, "histograms with different buckets have no difference")
        // Buckets are read one by one while others count: none goes back, but for a reset.
        return HistogramCounts(
            bounds: bounds, counts: zip(counts, earlier.counts).map { $0 - min($0, $1) })
    }

    /// The value that a part of what was recorded does not exceed, as far as the buckets tell: between the bounds of its
    /// bucket in a straight line, and the last bound for what is beyond it. Nil if nothing was recorded.
    ///
    /// - Parameter part: 0 to 1: 0.99 for p99.
    public func quantile(_ part: Double) -> Double? {
        let total = counts.reduce(0, &+)
        guard total > 0 else { return nil }
        let rank = min(1, max(0, part)) * Double(total)
        var below = 0.0
        for (index, count) in counts.enumerated() where count > 0 {
            if below + Double(count) >= rank {
                guard index < bounds.count else { return bounds.last ?? 0 }
                let lower = index == 0 ? 0 : bounds[index - 1]
                return lower + (bounds[index] - lower) * max(0, rank - below) / Double(count)
            }
            below += Double(count)
        }
        return bounds.last ?? 0
    }
}
