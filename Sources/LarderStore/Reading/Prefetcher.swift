import LarderModel
import LarderSystem
import Logging

/// Brings sessions into the page cache, one after another, on a thread that starts with the first.
final class Prefetcher: Sendable {
    /// What is to be brought.
    enum Wish {
        /// What a resume up to `to` would load and ends after `from`.
        case session(UInt64, from: UInt64, to: UInt64)
        /// Blobs, by shard and id.
        case blobs([(shard: Int, id: UInt64)])
    }

    private struct State {
        var wishes: [Wish] = []
        var isRunning = false
        /// True while it works on a wish.
        var isBusy = false
        var isStopping = false
    }

    private let state = Monitor(State())

    /// Leaves a wish. Throws `busy` when too many wait.
    ///
    /// - Returns: true if no other comes before it.
    @discardableResult
    func add(_ wish: Wish, _ store: Store) throws(LarderError) -> Bool {
        let (mustStart, isNext) = try state.withLock { state throws(LarderError) in
            if state.isStopping { throw LarderError(.shuttingDown, "the daemon is shutting down; reconnect later") }
            guard state.wishes.count < Limits.prefetches else {
                throw LarderError(
                    .busy, "\(Limits.prefetches) sessions wait to be prefetched, the limit; ask again later")
            }
            let isNext = state.wishes.isEmpty && !state.isBusy
            state.wishes.append(wish)
            defer { state.isRunning = true }
            return (!state.isRunning, isNext)
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
        return isNext
    }

    /// Ends the thread, if there is one.
    func stop() {
        state.signal { $0.isStopping = true }
        _ = state.wait { !$0.isRunning ? true : nil }
    }

    private func run(_ store: Store) {
        while let wish = nextWish() {
            do throws(LarderError) {
                // The daemon's own user: whoever left a wish was found to have access. A reader for each wish: what its
                // resume leases is given back when the wish is done, not when a later one takes its place.
                try bring(wish, StoreReader(store, userID: Process.userID))
            } catch {
                store.log.debug("not prefetched", metadata: ["wish": "\(wish)", "reason": "\(error)"])
            }
        }
        state.signal { $0.isRunning = false }
    }

    private func bring(_ wish: Wish, _ reader: StoreReader) throws(LarderError) {
        switch wish {
        case .session(let session, let from, let to):
            var chunks = try reader.resume(session: session, atMost: to).chunks.filter { $0.end > from }[...]
            while !chunks.isEmpty, !state.withLock({ $0.isStopping }) { try reader.warm(session: session, &chunks) }
        case .blobs(let blobs):
            for blob in blobs where !state.withLock({ $0.isStopping }) {
                try reader.read(shard: blob.shard) { transaction, shard in
                    if let stored = try BlobLog.find(blob.id, transaction, shard) { Memory.willNeed(stored) }
                }
            }
        }
    }

    private func nextWish() -> Wish? {
        state.wait { state -> Wish?? in
            state.isBusy = false
            if state.isStopping { return .some(nil) }
            if state.wishes.isEmpty { return nil }
            state.isBusy = true
            return state.wishes.removeFirst()
        }!
    }
}

extension Store {
    /// Has the chunks that a resume would load brought into the page cache, in the background. Throws `busy` when too many
    /// sessions wait for that.
    public func prefetch(session: UInt64, atMost: UInt64 = .max) throws(LarderError) {
        try prefetcher.add(.session(session, from: 0, to: atMost), self)
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
