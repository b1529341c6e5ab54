// A backend of swift-metrics that keeps everything in this process and says it when it is asked, as Prometheus wants it.
// Instruments are few and made at the start; what is counted elsewhere already is not counted twice: a collector reads it
// when somebody asks.
import CoreMetrics
import LarderSystem

/// Instruments by name and labels, and collectors of what is counted elsewhere. Give it to `MetricsSystem.bootstrap`
/// before anything makes instruments.
public final class MetricsRegistry: MetricsFactory {
    /// Reads what is counted elsewhere.
    public typealias Collector = @Sendable () -> [MetricFamily]

    /// Instruments that a registry makes; further ones count nothing, so that a mistake in labels costs no memory.
    public static let instruments = 4_096

    private struct Key: Hashable {
        let name: String
        let labels: [String]
    }

    private struct Entry {
        let labels: [(name: String, value: String)]
        let instrument: any Instrument
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// Keys in the order in which they were made, by name.
        var names: [(name: String, keys: [Key])] = []
        var collectors: [Collector] = []
    }

    private let descriptions: [String: MetricDescription]
    private let state = Monitor(State())

    /// A registry without instruments.
    ///
    /// - Parameter descriptions: by name, what is said of instruments, and the buckets of histograms.
    public init(_ descriptions: [String: MetricDescription] = [:]) { self.descriptions = descriptions }

    /// Adds what is counted elsewhere to each exposition. Called from whichever thread asks.
    public func collect(_ collector: @escaping Collector) { state.withLock { $0.collectors.append(collector) } }

    /// What all instruments and collectors say now.
    public func families() -> [MetricFamily] {
        let (names, entries, collectors) = state.withLock { ($0.names, $0.entries, $0.collectors) }
        let own = names.compactMap { name, keys -> MetricFamily? in
            let found = keys.compactMap { entries[$0] }
            guard let kind = found.first?.instrument.kind else { return nil }
            let samples = found.flatMap { entry in
                entry.instrument.samples(named: name).map {
                    MetricSample($0.name, entry.labels + $0.labels, $0.value)
                }
            }
            return MetricFamily(name, descriptions[name]?.help ?? "No description.", kind, samples)
        }
        return own + collectors.flatMap { $0() }
    }

    /// What the histograms of a name have recorded together, of those that have one of some values for a label; nil if
    /// there is none.
    public func histogram(_ name: String, where label: String, isOneOf values: Set<String>) -> HistogramCounts? {
        let found = state.withLock { state in
            let keys = state.names.first { $0.name == name }?.keys ?? []
            return keys.compactMap { state.entries[$0] }
        }
        var sum: HistogramCounts?
        for entry in found where entry.labels.contains(where: { $0.name == label && values.contains($0.value) }) {
            guard let buckets = (entry.instrument as? HistogramInstrument)?.buckets else { continue }
            if sum == nil { sum = buckets } else { sum?.add(buckets) }
        }
        return sum
    }

    /// The text exposition of ``families()``.
    public func exposition() -> String { MetricText.render(families()) }

    // MARK: MetricsFactory

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        instrument(label, dimensions) { _ in CounterInstrument() } ?? NOOPMetricsHandler.instance
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        instrument(label, dimensions) { _ in GaugeInstrument() } ?? NOOPMetricsHandler.instance
    }

    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        if aggregate {
            return instrument(label, dimensions) { HistogramInstrument(bounds: $0, unit: 1) }
                ?? NOOPMetricsHandler.instance
        }
        return instrument(label, dimensions) { _ in GaugeInstrument() } ?? NOOPMetricsHandler.instance
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        instrument(label, dimensions) { HistogramInstrument(bounds: $0, unit: 1e-9) } ?? NOOPMetricsHandler.instance
    }

    public func destroyCounter(_ handler: any CounterHandler) { destroy(handler) }
    public func destroyMeter(_ handler: any MeterHandler) { destroy(handler) }
    public func destroyRecorder(_ handler: any RecorderHandler) { destroy(handler) }
    public func destroyTimer(_ handler: any TimerHandler) { destroy(handler) }

    /// The instrument of that name and those labels, made if there is none; nil if there are too many, or it is of
    /// another kind.
    private func instrument<Made: Instrument>(
        _ label: String, _ dimensions: [(String, String)], _ make: ([Double]) -> Made
    ) -> Made? {
        let name = MetricText.name(label)
        let labels = dimensions.map { (name: MetricText.name($0.0), value: $0.1) }
        let key = Key(name: name, labels: labels.flatMap { [$0.name, $0.value] })
        return state.withLock { state in
            if let known = state.entries[key] { return known.instrument as? Made }
            guard state.entries.count < Self.instruments else { return nil }
            let made = make(descriptions[name]?.bounds ?? [])
            state.entries[key] = Entry(labels: labels, instrument: made)
            if let index = state.names.firstIndex(where: { $0.name == name }) {
                state.names[index].keys.append(key)
            } else {
                state.names.append((name, [key]))
            }
            return made
        }
    }

    private func destroy(_ handler: AnyObject) {
        state.withLock { state in
            guard let key = state.entries.first(where: { $0.value.instrument === handler })?.key else { return }
            state.entries[key] = nil
            for index in state.names.indices { state.names[index].keys.removeAll { $0 == key } }
        }
    }
}
