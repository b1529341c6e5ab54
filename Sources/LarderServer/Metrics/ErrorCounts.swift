import LarderModel
import LarderSystem

/// Refusals by their code: of whole requests, and of items of a batch. Rare beside requests, so one lock is enough.
final class ErrorCounts: Sendable {
    struct Values: Sendable {
        var requests: [UInt64] = Array(repeating: 0, count: ErrorCode.allCases.count)
        var items: [UInt64] = Array(repeating: 0, count: ErrorCode.allCases.count)
    }

    private let values = Monitor(Values())

    func countRequest(_ code: ErrorCode) { values.withLock { $0.requests[Int(code.rawValue) - 1] += 1 } }

    func countItems(_ codes: [ErrorCode]) {
        if codes.isEmpty { return }
        values.withLock { values in for code in codes { values.items[Int(code.rawValue) - 1] += 1 } }
    }

    /// For each code, how many requests and how many items were refused with it.
    var list: [(code: ErrorCode, requests: UInt64, items: UInt64)] {
        // Made under the lock: a copy that shares storage with what is counted would look like a race.
        values.withLock { now in
            ErrorCode.allCases.map { code in
                (code, now.requests[Int(code.rawValue) - 1], now.items[Int(code.rawValue) - 1])
            }
        }
    }
}
