import LarderModel

/// By what a sweep decides which of the oldest it keeps.
public enum SweepPolicy: String, Sendable, CaseIterable, Codable {
    /// Frequency and recency, with a memory of what was evicted: what is hotter than a share of the residents.
    case heat
    /// Recency alone: what was used later than a share of the residents.
    case lru
    /// What was used since it was put or last kept, up to three times.
    case s3fifo
    /// Nothing.
    case fifo
}

/// The decisions of a sweep over a log: its oldest entry is dropped, or is written again at the young end.
///
/// The caller tells of every `use`, asks `keeps` for the oldest entry, and tells what it then did (`moved` or
/// `evicted`). `tick` is the clock: once for each request. Deterministic for a seed. A plain value: the caller locks.
public struct SweepRule: Sendable {
    /// What a sweep is tuned by.
    public struct Configuration: Sendable, Hashable {
        /// By what is decided.
        public var policy = SweepPolicy.heat
        /// The share of residents, from 0 to 1, that a key must be hotter than to be kept. Higher writes less.
        public var quantile = 0.5
        /// Requests of recency that an e-fold of frequency is worth.
        public var tau = 550.0
        /// Keys that are remembered, resident or evicted, in 16 bytes each.
        public var keys = 1 << 20
        /// Where the random samples start from.
        public var seed: UInt64 = 0

        /// The defaults.
        public init() {}
    }

    /// Residents in a sample.
    static let sampleSize = 256
    /// Decisions, or ticks, that a sample serves for at most; less where residents are few and soon others.
    static let sampleLife = 64

    /// What the rule was made with.
    public let configuration: Configuration
    /// Requests so far.
    public private(set) var clock: UInt64
    /// What is known of keys.
    public private(set) var table: HeatTable
    /// The share of residents that a key must be hotter than: at first the configuration's.
    public var quantile: Double
    private var generator: SplitMix64
    /// Keys kept since one was not: after a whole turn one is dropped, whatever its heat, so that a sweep ends.
    private var keptInARow = 0
    /// The heat above which a key is kept, and until which decision and tick it serves.
    private var sample = (threshold: 0.0, decisions: UInt64(0), clock: UInt64(0))

    /// A rule that knows no keys.
    public init(_ configuration: Configuration) {
        self.init(
            configuration, clock: 1,
            HeatTable(
                keys: configuration.keys, tau: configuration.tau, frequencyLimit: Self.frequencyLimit(configuration)))
    }

    private init(_ configuration: Configuration, clock: UInt64, _ table: HeatTable) {
        precondition((0...1).contains(configuration.quantile), "a quantile is from 0 to 1")
        self.configuration = configuration
        self.clock = clock
        quantile = configuration.quantile
        self.table = table
        generator = SplitMix64(seed: configuration.seed)
    }

    private static func frequencyLimit(_ configuration: Configuration) -> Float {
        switch configuration.policy {
        case .heat: .infinity
        case .lru, .fifo: 1
        // One for the put, and the three uses that S3-FIFO counts.
        case .s3fifo: 4
        }
    }

    /// Counts a request.
    public mutating func tick() { clock += 1 }

    /// Goes on to a time of a clock that others count; never back.
    public mutating func advance(to time: UInt64) { clock = max(clock, min(time, HeatTable.limitTime)) }

    /// Counts a use of a key: a put, or a page-in. It is resident from now on.
    public mutating func use(_ key: UInt64) {
        table.use(key, at: clock)
        table.setResident(key, true)
    }

    /// Counts a use of a key that may be part of one counted before: a page-in after the resume that named the chunk. It is
    /// as recent as now, and one more use only if the last was before `turn`, the time at which the worker's turn began.
    public mutating func refresh(_ key: UInt64, turn: UInt64) {
        if let last = table.lastUse(of: key), last >= turn {
            table.touch(key, at: clock)
        } else {
            use(key)
        }
    }

    /// Makes a key the next to be dropped, until its next use.
    public mutating func demote(_ key: UInt64) { table.demote(key) }

    /// Whether the oldest entry is worth being written again. A key that the table forgot is not.
    ///
    /// - Parameters:
    ///   - lastUse: when it was in use at the latest, if that is known from elsewhere: not a use of its own, but it is as
    ///     recent as that.
    ///   - bias: added to its heat, in e-folds of frequency.
    public mutating func keeps(_ key: UInt64, lastUse: UInt64 = 0, bias: Double = 0) -> Bool {
        let keeps = keptInARow < table.residents && isWorthKeeping(key, lastUse: lastUse, bias: bias)
        keptInARow = keeps ? keptInARow + 1 : 0
        return keeps
    }

    private mutating func isWorthKeeping(_ key: UInt64, lastUse: UInt64, bias: Double) -> Bool {
        if table.isDemoted(key) { return false }
        switch configuration.policy {
        case .heat, .lru:
            let threshold = threshold()
            return table.heat(of: key, usedBy: lastUse).map { $0 + bias > threshold } ?? false
        case .s3fifo: return (table.frequency(of: key) ?? 1) > 1
        case .fifo: return false
        }
    }

    /// Tells that a key was written again.
    public mutating func moved(_ key: UInt64) {
        if configuration.policy == .s3fifo { table.decrement(key) }
    }

    /// Tells that a key is no longer resident, dropped by the sweep or otherwise. What is known of it stays.
    public mutating func evicted(_ key: UInt64) { table.setResident(key, false) }

    /// The heat that a key must exceed to be kept: the quantile of a sample of the residents. Infinite with none.
    public mutating func threshold() -> Double {
        if sample.decisions == 0 || clock >= sample.clock {
            var heats = table.sampleHeats(Self.sampleSize, using: &generator)
            heats.sort()
            let index = min(Int(quantile * Double(heats.count)), heats.count - 1)
            let life = UInt64(min(max(1, table.residents / 32), Self.sampleLife))
            sample = (heats.isEmpty ? .infinity : heats[index], life, clock + life)
        }
        sample.decisions -= 1
        return sample.threshold
    }
}

/// What is kept over a restart.
extension SweepRule {
    /// The clock (u64, little-endian) and the table. No checksum: the caller adds one.
    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.write(clock)
        return writer.bytes + table.bytes
    }

    /// The rule that wrote `bytes`, by another configuration perhaps. Throws `damaged` for bytes that no rule wrote.
    public init(bytes: [UInt8], _ configuration: Configuration) throws(LarderError) {
        let clock = bytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard bytes.count >= 8, clock > 0, clock <= HeatTable.limitTime else {
            throw LarderError(.damaged, "sweep memory of \(bytes.count) bytes with clock \(clock)")
        }
        let table = try HeatTable(
            bytes: Array(bytes.dropFirst(8)), keys: configuration.keys, tau: configuration.tau,
            frequencyLimit: Self.frequencyLimit(configuration))
        self.init(configuration, clock: clock, table)
    }
}

/// A small random number generator with a seed.
struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return HeatTable.mixed(state)
    }
}
