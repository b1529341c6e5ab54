/// The type word of the exposition format.
public enum MetricKind: String, Sendable {
    /// Only ever grows, but for a restart.
    case counter
    /// Any number.
    case gauge
    /// Counts by upper bound, cumulative, with their sum.
    case histogram
}

/// One line of the exposition.
public struct MetricSample: Sendable {
    /// The metric's name, with a suffix for the lines of a histogram.
    public var name: String
    /// Names and values of labels; values may hold any text.
    public var labels: [(name: String, value: String)]
    /// The number.
    public var value: Double

    /// A sample without labels.
    public init(_ name: String, _ value: Double) { self.init(name, [], value) }

    /// A sample from its fields.
    public init(_ name: String, _ labels: [(name: String, value: String)], _ value: Double) {
        self.name = name
        self.labels = labels
        self.value = value
    }
}

/// All samples of one metric, with what is said of it.
public struct MetricFamily: Sendable {
    /// The metric's name.
    public var name: String
    /// One line for people.
    public var help: String
    /// Its type.
    public var kind: MetricKind
    /// Its samples.
    public var samples: [MetricSample]

    /// A family from its fields.
    public init(_ name: String, _ help: String, _ kind: MetricKind, _ samples: [MetricSample]) {
        self.name = name
        self.help = help
        self.kind = kind
        self.samples = samples
    }

    /// A family of one sample without labels.
    public init(_ name: String, _ help: String, _ kind: MetricKind, _ value: some BinaryInteger) {
        self.init(name, help, kind, [MetricSample(name, Double(value))])
    }
}

/// What is said of an instrument that swift-metrics makes, and the buckets of a histogram.
public struct MetricDescription: Sendable {
    /// One line for people.
    public var help: String
    /// Upper bounds of a histogram's buckets, ascending, in the unit that is shown; seconds for a timer.
    public var bounds: [Double]

    /// A description from its fields.
    public init(_ help: String, bounds: [Double] = []) {
        self.help = help
        self.bounds = bounds
    }
}
