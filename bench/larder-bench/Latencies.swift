import Histogram

/// How long operations took, as an HdrHistogram with three significant digits.
struct Latencies: Sendable {
    private var histogram = Histogram<UInt64>(
        highestTrackableValue: 600_000_000_000, numberOfSignificantValueDigits: .three)

    /// Operations recorded.
    var count: UInt64 { histogram.totalCount }
    /// The longest, in microseconds.
    var maximum: Double { Double(histogram.max) / 1e3 }

    /// Records an operation.
    mutating func record(nanoseconds: UInt64) { _ = histogram.record(nanoseconds) }

    /// Takes in what another thread recorded.
    mutating func add(_ other: Latencies) { histogram.add(other.histogram) }

    /// The latency in microseconds that `percent` of the operations stayed within.
    func percentile(_ percent: Double) -> Double { Double(histogram.valueAtPercentile(percent)) / 1e3 }
}
