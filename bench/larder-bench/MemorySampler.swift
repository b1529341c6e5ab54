import LarderSystem

/// Reads a process's anonymous memory every few milliseconds.
final class MemorySampler: Sendable {
    private struct State {
        let first: Int
        var highest: Int
        var isOver = false
        var hasEnded = false
    }

    private let state: Monitor<State>

    init(of identifier: Int32) throws {
        let first = Process.anonymousBytes(of: identifier) ?? 0
        let state = Monitor(State(first: first, highest: first))
        self.state = state
        try WorkerThread(name: "memory-sampler") {
            while !state.withLock({ $0.isOver }) {
                let bytes = Process.anonymousBytes(of: identifier) ?? 0
                state.withLock { $0.highest = max($0.highest, bytes) }
                Clock.sleep(milliseconds: 5)
            }
            state.signal { $0.hasEnded = true }
        }.detach()
    }

    /// Ends the sampling. Returns the first reading and the highest, in bytes.
    func stop() -> (first: Int, highest: Int) {
        state.withLock { $0.isOver = true }
        return state.wait { $0.hasEnded ? ($0.first, $0.highest) : nil }!
    }
}
