import CoreMetrics
import Synchronization

/// What an instrument says when it is asked.
protocol Instrument: AnyObject, Sendable {
    /// The type word of the exposition format.
    var kind: MetricKind { get }
    /// Its samples, without the labels that it was made with.
    func samples(named name: String) -> [MetricSample]
}

/// A counter behind swift-metrics' `Counter`.
final class CounterInstrument: CounterHandler, Instrument {
    private let counts = StripedCounts(count: 1)

    func increment(by amount: Int64) { if amount > 0 { counts.add(UInt64(amount), to: 0) } }
    func reset() { counts.reset(0) }

    let kind = MetricKind.counter
    func samples(named name: String) -> [MetricSample] { [MetricSample(name, Double(counts.sum(0)))] }
}

/// A gauge behind swift-metrics' `Gauge` and `Meter`.
final class GaugeInstrument: RecorderHandler, MeterHandler, Instrument {
    private let bits = Atomic<UInt64>(0)

    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    func increment(by amount: Double) { add(amount) }
    func decrement(by amount: Double) { add(-amount) }

    private func add(_ amount: Double) {
        var old = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let result = bits.compareExchange(expected: old, desired: new, ordering: .relaxed)
            if result.exchanged { return }
            old = result.original
        }
    }

    let kind = MetricKind.gauge
    func samples(named name: String) -> [MetricSample] {
        [MetricSample(name, Double(bitPattern: bits.load(ordering: .relaxed)))]
    }
}

/// A histogram of fixed buckets behind swift-metrics' `Timer` and aggregating `Recorder`. A record costs two relaxed
/// additions to a cache line of the thread's own, and a short search for the bucket.
final class HistogramInstrument: TimerHandler, RecorderHandler, Instrument {
    /// Upper bounds as they are shown, in ascending order; the last bucket has none.
    private let bounds: [Double]
    /// The same in what is recorded: nanoseconds for a timer.
    private let limits: [UInt64]
    private let unit: Double
    private let counts: StripedCounts

    /// - Parameter unit: what one of what is recorded is shown as: 1e-9 for a timer, which records nanoseconds.
    init(bounds: [Double], unit: Double) {
        self.bounds = bounds
        self.unit = unit
        limits = bounds.map { UInt64(($0 / unit).rounded()) }
        counts = StripedCounts(count: bounds.count + 2)
    }

    func recordNanoseconds(_ duration: Int64) { record(duration) }
    func record(_ value: Double) { record(Int64(exactly: value.rounded()) ?? (value > 0 ? .max : 0)) }

    func record(_ value: Int64) {
        let value = UInt64(max(0, value))
        var index = 0
        while index < limits.count, value > limits[index] { index += 1 }
        counts.add(1, to: index)
        counts.add(value, to: limits.count + 1)
    }

    /// What was recorded so far.
    var buckets: HistogramCounts {
        HistogramCounts(bounds: bounds, counts: (0...bounds.count).map { counts.sum($0) })
    }

    let kind = MetricKind.histogram
    func samples(named name: String) -> [MetricSample] {
        var below: UInt64 = 0
        var samples: [MetricSample] = []
        for (index, bound) in bounds.enumerated() {
            below += counts.sum(index)
            samples.append(MetricSample(name + "_bucket", [("le", MetricText.number(bound))], Double(below)))
        }
        below += counts.sum(bounds.count)
        samples.append(MetricSample(name + "_bucket", [("le", "+Inf")], Double(below)))
        samples.append(MetricSample(name + "_sum", Double(counts.sum(bounds.count + 1)) * unit))
        samples.append(MetricSample(name + "_count", Double(below)))
        return samples
    }
}
