import CoreMetrics
import LarderMetrics
import LarderTestSupport
import Testing

/// Quantiles of what came between two looks at a histogram.
@Suite struct HistogramCountsTests {
    @Test func quantilesLieInTheirBuckets() throws {
        let none = HistogramCounts(bounds: [1, 2, 4], counts: [0, 0, 0, 0])
        #expect(none.quantile(0.5) == nil)
        let counts = HistogramCounts(bounds: [1, 2, 4], counts: [0, 10, 10, 0])
        #expect(counts.quantile(0) == 1)
        #expect(counts.quantile(0.25) == 1.5)
        #expect(counts.quantile(0.5) == 2)
        #expect(counts.quantile(0.75) == 3)
        #expect(counts.quantile(1) == 4)
        // What is beyond the last bound is said as that.
        #expect(HistogramCounts(bounds: [1, 2], counts: [1, 0, 9]).quantile(0.99) == 2)
        #expect(HistogramCounts(bounds: [], counts: [3]).quantile(0.5) == 0)
    }

    /// Against values themselves: no quantile leaves the bucket of the value that it stands for.
    @Test func agreesWithSortedValues() throws {
        var generator = SeededGenerator(seed: testSeed("agreesWithSortedValues"))
        for _ in 0..<200 {
            let bounds = Set(
                (0..<Int.random(in: 1...8, using: &generator)).map { _ in
                    Double(Int.random(in: 1...100, using: &generator))
                }
            ).sorted()
            let values = (0..<Int.random(in: 1...50, using: &generator)).map { _ in
                Double(Int.random(in: 0...120, using: &generator))
            }.sorted()
            var buckets = Array(repeating: UInt64(0), count: bounds.count + 1)
            for value in values { buckets[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1 }
            let counts = HistogramCounts(bounds: bounds, counts: buckets)
            for part in [0.01, 0.5, 0.9, 0.99, 1] {
                let value = values[max(0, Int((part * Double(values.count)).rounded(.up)) - 1)]
                let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
                let found = try #require(counts.quantile(part))
                let lower = bucket == 0 ? 0 : bounds[bucket - 1]
                #expect(found >= lower && found <= bounds[min(bucket, bounds.count - 1)], "\(bounds) \(values) \(part)")
            }
        }
    }

    @Test func sumsTheLabelsThatAreAskedFor() throws {
        let registry = MetricsRegistry(["t": MetricDescription("", bounds: [1e-6, 1e-3])])
        for (operation, nanoseconds) in [("get", 500), ("get_into", 500_000), ("put", 5_000_000)] {
            registry.makeTimer(label: "t", dimensions: [("operation", operation)]).recordNanoseconds(Int64(nanoseconds))
        }
        let first = try #require(registry.histogram("t", where: "operation", isOneOf: ["get", "get_into"]))
        #expect(first.counts == [1, 1, 0])
        registry.makeTimer(label: "t", dimensions: [("operation", "get")]).recordNanoseconds(2_000_000)
        let second = try #require(registry.histogram("t", where: "operation", isOneOf: ["get", "get_into"]))
        #expect(second.since(first).counts == [0, 0, 1])
        #expect(first.since(second).counts == [0, 0, 0])
        #expect(registry.histogram("t", where: "operation", isOneOf: ["drop"]) == nil)
        #expect(registry.histogram("other", where: "operation", isOneOf: ["get"]) == nil)
    }
}
