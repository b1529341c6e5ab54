import LarderModel
import LarderSystem
import Logging

/// Brings sessions into the page cache, one after another, on a thread that starts with the first.
final class Prefetcher: Sendable {
    private struct Wish {
        let session: UInt64
        let atMost: UInt64
    }

    private struct State {
        var wishes: [Wish] = []
        var isRunning = false
        var isStopping = false
    }

    private let state = Monitor(State())

    /// Leaves a wish. Throws `busy` when too many wait.
    func add(session: UInt64, atMost: UInt64, _ store: Store) throws(LarderError) {
        let mustStart = try state.withLock { state throws(LarderError) in
            if state.isStopping { throw LarderError(.shuttingDown, "the daemon is shutting down; reconnect later") }
            guard state.wishes.count < Limits.prefetches else {
                throw LarderError(
                    .busy, "\(Limits.prefetches) sessions wait to be prefetched, the limit; ask again later")
            }
            state.wishes.append(Wish(session: session, atMost: atMost))
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if mustStart {
            do { try WorkerThread(name: "prefetch") { [self] in run(store) }.detach() } catch {
                state.withLock {
                    $0.isRunning = false
                    $0.wishes = []
                }
                throw LarderError(.storage, "no thread to prefetch with: \(error)")
            }
        }
        state.signal { _ in }
    }

    /// Ends the thread, if there is one.
    func stop() {
        state.signal { $0.isStopping = true }
        _ = state.wait { !$0.isRunning ? true : nil }
    }

    private func run(_ store: Store) {
        // The daemon's own user: whoever left a wish was found to have access.
        let reader = StoreReader(store, userID: Process.userID)
        while let wish = nextWish() {
            do throws(LarderError) {
                let plan = try reader.resume(session: wish.session, atMost: wish.atMost)
                var chunks = plan.chunks[...]
                while !chunks.isEmpty, !state.withLock({ $0.isStopping }) {
                    try reader.warm(session: wish.session, &chunks)
                }
            } catch {
                store.log.debug("not prefetched", metadata: ["session": "\(wish.session)", "reason": "\(error)"])
            }
        }
        state.signal { $0.isRunning = false }
    }

    private func nextWish() -> Wish? {
        state.wait { state -> Wish?? in
            if state.isStopping { return .some(nil) }
            return state.wishes.isEmpty ? nil : state.wishes.removeFirst()
        }!
    }
}

extension Store {
    /// Has the chunks that a resume would load brought into the page cache, in the background. Throws `busy` when too many
    /// sessions wait for that.
    public func prefetch(session: UInt64, atMost: UInt64 = .max) throws(LarderError) {
        try prefetcher.add(session: session, atMost: atMost, self)
    }
}

extension StoreReader {
    /// Has the kernel read the first of `chunks`, and takes them off: few enough that no snapshot is held for long.
    fileprivate func warm(session: UInt64, _ chunks: inout ArraySlice<StoredChunkEntry>) throws(LarderError) {
        let context = try context(session)
        try read(shard: context.shard) { transaction, shard in
            var bytes = 0
            while bytes < Limits.bytesPerCommit, let chunk = chunks.popFirst() {
                bytes += chunk.storedBytes
                let track = LinePath.Track(
                    rank: chunk.rank, component: UInt8(chunk.component), isState: chunk.tokens == 0)
                let found = try? context.path.find(track, chunk.offset, transaction, shard)
                guard let found, let stored = try blob(found.record.blobID, transaction, shard) else { continue }
                Memory.willNeed(stored)
            }
        }
    }
}
