import ArgumentParser
import LarderSystem

/// Threads that work on one thing together.
enum Threads {
    private struct State {
        var ready = 0
        var isOpen = false
        var ended = 0
        var lastEnd: UInt64 = 0
        var failure: String?
    }

    /// Runs `body` with 0 ..< `count`, each on a thread of its own. Returns the nanoseconds from the moment at which all
    /// may begin to the last one's end. Throws what the first that failed threw.
    @discardableResult
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws -> Double {
        let gate = Monitor(State())
        for index in 0..<count {
            try WorkerThread(name: "worker-\(index)") {
                gate.signal { $0.ready += 1 }
                gate.wait { $0.isOpen ? () : nil }
                var failure: String?
                do { try body(index) } catch { failure = "\(error)" }
                gate.signal {
                    $0.ended += 1
                    $0.lastEnd = Clock.now()
                    if $0.failure == nil { $0.failure = failure }
                }
            }.detach()
        }
        gate.wait { $0.ready == count ? () : nil }
        let start = Clock.now()
        gate.signal { $0.isOpen = true }
        let (end, failure) = gate.wait { $0.ended == count ? ($0.lastEnd, $0.failure) : nil }!
        if let failure { throw ValidationError(failure) }
        return Double(end - start)
    }
}
