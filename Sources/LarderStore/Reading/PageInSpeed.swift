import LarderModel
import LarderSystem

/// How fast page-ins went lately, to say what the next one will take.
final class PageInSpeed: Sendable {
    /// Nanoseconds of a request beyond what its bytes take: look-ups, waking threads, the answer.
    static let requestNanoseconds = 100_000.0
    /// Nanoseconds for a raw byte, until something was measured: 2 GB/s, less than any machine does from memory.
    private let perByte = Monitor(0.5)

    /// Takes a page-in into account; small ones say little of speed.
    func note(bytes: Int, nanoseconds: UInt64) {
        guard bytes >= Limits.sharedWorkBytes else { return }
        perByte.withLock { $0 += (Double(nanoseconds) / Double(bytes) - $0) / 8 }
    }

    /// Nanoseconds that a page-in of so many raw bytes takes.
    func expectedNanoseconds(bytes: Int) -> Double {
        bytes == 0 ? 0 : Self.requestNanoseconds + Double(bytes) * perByte.withLock { $0 }
    }
}
