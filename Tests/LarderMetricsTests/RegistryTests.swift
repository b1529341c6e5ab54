import CoreMetrics
import LarderMetrics
import LarderSystem
import Testing

/// The backend of swift-metrics: what is recorded is what is said, in the format that Prometheus reads.
@Suite struct RegistryTests {
    @Test func saysWhatWasRecorded() {
        let registry = MetricsRegistry([
            "requests_seconds": MetricDescription("Seconds of requests.", bounds: [0.001, 0.01]),
            "depth": MetricDescription("Depth.", bounds: [0, 10, 100]),
        ])
        let timer = registry.makeTimer(label: "requests_seconds", dimensions: [("operation", "get")])
        for nanoseconds in [1_000_000, 1_500_000, 5_000_000, 20_000_000] { timer.recordNanoseconds(Int64(nanoseconds)) }
        let depth = registry.makeRecorder(label: "depth", dimensions: [], aggregate: true)
        for value in [0, 10, 11, 1_000] { depth.record(Int64(value)) }
        registry.makeCounter(label: "events", dimensions: []).increment(by: 3)
        registry.makeMeter(label: "level", dimensions: []).set(1.5)
        registry.collect { [MetricFamily("elsewhere", "Counted elsewhere.", .gauge, 7)] }
        let text = registry.exposition()
        let expected = """
            # HELP requests_seconds Seconds of requests.
            # TYPE requests_seconds histogram
            requests_seconds_bucket{operation="get",le="0.001"} 1
            requests_seconds_bucket{operation="get",le="0.01"} 3
            requests_seconds_bucket{operation="get",le="+Inf"} 4
            requests_seconds_sum{operation="get"} 0.0275
            requests_seconds_count{operation="get"} 4
            # HELP depth Depth.
            # TYPE depth histogram
            depth_bucket{le="0"} 1
            depth_bucket{le="10"} 2
            depth_bucket{le="100"} 3
            depth_bucket{le="+Inf"} 4
            depth_sum 1021
            depth_count 4
            # HELP events No description.
            # TYPE events counter
            events 3
            # HELP level No description.
            # TYPE level gauge
            level 1.5
            # HELP elsewhere Counted elsewhere.
            # TYPE elsewhere gauge
            elsewhere 7

            """
        #expect(text == expected)
    }

    @Test func escapesLabelsAndMendsNames() {
        let registry = MetricsRegistry()
        registry.makeCounter(label: "1 bad-name", dimensions: [("a b", "quote \" back \\ line \n end")]).increment(
            by: 1)
        #expect(registry.exposition().contains("__bad_name{a_b=\"quote \\\" back \\\\ line \\n end\"} 1\n"))
    }

    /// Many threads add to one histogram: nothing is lost.
    @Test func losesNothing() throws {
        let registry = MetricsRegistry(["t": MetricDescription("", bounds: [1])])
        let timer = registry.makeTimer(label: "t", dimensions: [])
        let (threads, each) = (8, 20_000)
        let done = Monitor(0)
        for _ in 0..<threads {
            try WorkerThread(name: "recorder") {
                for _ in 0..<each { timer.recordNanoseconds(1_000) }
                done.signal { $0 += 1 }
            }.detach()
        }
        _ = done.wait { $0 == threads ? true : nil }
        #expect(registry.exposition().contains("t_count \(threads * each)\n"))
    }

    /// Labels without bound cost no memory without bound: what is beyond the limit counts nothing.
    @Test func boundsInstruments() {
        let registry = MetricsRegistry()
        for index in 0..<MetricsRegistry.instruments + 10 {
            registry.makeCounter(label: "many", dimensions: [("index", "\(index)")]).increment(by: 1)
        }
        let lines = registry.exposition().split(separator: "\n").filter { $0.hasPrefix("many{") }
        #expect(lines.count == MetricsRegistry.instruments)
        // The same instrument again is the same, and one of another kind is none.
        registry.makeCounter(label: "many", dimensions: [("index", "0")]).increment(by: 1)
        #expect(registry.exposition().contains("many{index=\"0\"} 2\n"))
        registry.makeTimer(label: "many", dimensions: [("index", "0")]).recordNanoseconds(5)
        #expect(registry.exposition().contains("many{index=\"0\"} 2\n"))
    }
}
