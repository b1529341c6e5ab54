import LarderModel
import LarderSystem
import LarderWire
import Metrics

/// What the data socket records through swift-metrics, for whichever backend was bootstrapped. Everything that is counted
/// anyway (``ServerCounters``, the store's statistics) is not recorded here again.
final class ServerMetrics: Sendable {
    private let latencies: [Metrics.Timer?]
    private let depth = Recorder(label: MetricNames.resumeDepth, dimensions: [], aggregate: true)
    private let commits = Metrics.Timer(label: MetricNames.commit)

    init() {
        var latencies: [Metrics.Timer?] = Array(repeating: nil, count: 64)
        for type in MessageType.allCases where Int(type.rawValue) < latencies.count {
            latencies[Int(type.rawValue)] = Metrics.Timer(
                label: MetricNames.request, dimensions: [("operation", Self.name(type))])
        }
        self.latencies = latencies
    }

    /// A request was answered; `start` is when its frame was whole.
    func answered(_ type: UInt16, since start: UInt64) {
        guard Int(type) < latencies.count, let timer = latencies[Int(type)] else { return }
        timer.recordNanoseconds(Int64(truncatingIfNeeded: Clock.now() &- start))
    }

    /// A session was resumed at `offset`.
    func resumed(at offset: UInt64) { depth.record(Int64(clamping: offset)) }

    /// A commit, with its sync if it had one, took so long.
    func committed(nanoseconds: UInt64) { commits.recordNanoseconds(Int64(clamping: nanoseconds)) }

    /// The request's name as documentation writes it: `getInto` is `get_into`.
    static func name(_ type: MessageType) -> String { "\(type)".snakeCased }
}

/// Names of what ``ServerMetrics`` records, for the backend that is to describe them.
public enum MetricNames {
    /// Seconds from a frame that is whole to its answer, by operation.
    public static let request = "larder_request_duration_seconds"
    /// Tokens at which sessions were resumed.
    public static let resumeDepth = "larder_resume_depth_tokens"
    /// Seconds that commits took.
    public static let commit = "larder_commit_duration_seconds"
}

extension String {
    /// `neverStored` as `never_stored`.
    public var snakeCased: String {
        reduce(into: "") { text, character in
            if character.isUppercase { text += "_" }
            text += character.lowercased()
        }
    }
}
