import LarderStore
import LarderSystem

/// What the data socket has done since the daemon started.
final class ServerCounters: Sendable {
    struct Values: Sendable {
        var connections: UInt64 = 0
        var connectionsTotal: UInt64 = 0
        var requests: UInt64 = 0
        var refusals: UInt64 = 0
        var chunksIn: UInt64 = 0
        var rawBytesIn: UInt64 = 0
        var chunksOut: UInt64 = 0
        var rawBytesOut: UInt64 = 0
        var storedBytesOut: UInt64 = 0
        var misses: UInt64 = 0
        var notServed: UInt64 = 0
        var resumes: UInt64 = 0
        var tokensResumed: UInt64 = 0
        /// Tokens that resumes asked for, and those of them that were not restorable, by reason.
        var tokensAsked: UInt64 = 0
        var missed = ShortfallCounts()
        var keysMatched: UInt64 = 0
        var keysMissed: UInt64 = 0
    }

    private let values = Monitor(Values())

    func count(_ body: (inout Values) -> Void) { values.withLock { body(&$0) } }

    var list: [(name: String, value: UInt64)] {
        let now = values.withLock { $0 }
        return [
            ("connections", now.connections), ("connections_total", now.connectionsTotal),
            ("requests_total", now.requests),
            ("refusals_total", now.refusals), ("page_in_chunks_total", now.chunksIn),
            ("page_in_raw_bytes_total", now.rawBytesIn), ("page_out_chunks_total", now.chunksOut),
            ("page_out_raw_bytes_total", now.rawBytesOut), ("page_out_stored_bytes_total", now.storedBytesOut),
            ("misses_total", now.misses), ("page_in_errors_total", now.notServed), ("resumes_total", now.resumes),
            ("tokens_resumed_total", now.tokensResumed), ("tokens_asked_total", now.tokensAsked),
            ("keys_matched_total", now.keysMatched), ("keys_missed_total", now.keysMissed),
        ] + ShortfallReason.allCases.map { ("tokens_missed_\($0.rawValue)_total", now.missed[$0]) }
    }
}
