import LarderModel
import LarderSystem

/// Holds the writers of all shards between two commits, so that the snapshots of all are of one moment. Readers go on.
final class StandStill: Sendable {
    private struct State {
        var arrived = 0
        var isOver = false
    }

    private let state = Monitor(State())

    /// Has the writers stop, and returns when all have. Throws `busy` if they do not within ``Limits/standStillSeconds``.
    static func begin(_ writers: [ShardWriter]) throws(LarderError) -> StandStill {
        let still = StandStill()
        do throws(LarderError) {
            for writer in writers {
                let mutation = StandStillMutation(still)
                try writer.reserve(mutation.byteCount, mutation.lane)
                do throws(LarderError) { try writer.submit(reserved: mutation) } catch {
                    writer.giveBack(mutation.byteCount, mutation.lane)
                    throw error
                }
            }
            try still.waitForAll(writers.count)
        } catch {
            still.end()
            throw error
        }
        return still
    }

    private func waitForAll(_ count: Int) throws(LarderError) {
        let deadline = Clock.deadline(seconds: Double(Limits.standStillSeconds))
        guard state.wait(until: deadline, { $0.arrived == count ? true : nil }) != nil else {
            throw LarderError(
                .busy,
                "the writers of \(count) shards did not stand still at once within \(Limits.standStillSeconds) s; try again "
                    + "when less is put")
        }
    }

    /// A writer stands still until ``end()``.
    fileprivate func pass() {
        state.signal { $0.arrived += 1 }
        _ = state.wait { $0.isOver ? true : nil }
    }

    /// Lets the writers go on.
    func end() { state.signal { $0.isOver = true } }
}

/// Keeps a writer inside a transaction that changes nothing, for as long as the others take to come to the same point.
private final class StandStillMutation: AwaitedMutation<Void>, Mutation, @unchecked Sendable {
    private let still: StandStill

    init(_ still: StandStill) { self.still = still }

    func apply(_ context: inout WriteContext) throws {
        still.pass()
        value = ()
    }
}
