import LarderModel
import LarderSystem

/// Blobs that must not be evicted for a while: those that a resume has named, until its connection ends or asks anew, or
/// ``Limits/leaseSeconds`` have passed; and those that a worker pinned (``PinTable``).
final class LeaseTable: Sendable {
    struct Blob: Hashable {
        let shard: Int
        let id: UInt64
    }

    private struct State {
        var leased: [Blob: (holders: Int, deadline: UInt64)] = [:]
        var pins = PinTable()
        /// Blobs whose eviction is on its way to its commit.
        var leaving: Set<Blob> = []
        /// The last evictions, and how many there were before them.
        var recent: [Blob] = []
        var evictedBefore: UInt64 = 0

        var evictions: UInt64 { evictedBefore + UInt64(recent.count) }

        func holds(_ blob: Blob, _ now: UInt64) -> Bool {
            (leased[blob].map { $0.deadline > now } ?? false) || pins.holds(blob, now: now)
        }

        /// True if one of `blobs` was evicted after `evictions` others, or that is not known any more.
        func hasLost(_ blobs: [Blob], since evictions: UInt64) -> Bool {
            if !leaving.isEmpty, blobs.contains(where: leaving.contains) { return true }
            if evictions == self.evictions { return false }
            guard evictions >= evictedBefore else { return true }
            let gone = Set(recent[Int(evictions - evictedBefore)...])
            return blobs.contains(where: gone.contains)
        }
    }

    private let state = Monitor(State())
    private let now: @Sendable () -> UInt64

    init(now: @escaping @Sendable () -> UInt64) { self.now = now }

    /// Evictions so far.
    var evictions: UInt64 { state.withLock { $0.evictions } }

    /// Leases blobs, as many of them as the table still holds. Nil if one of them is being evicted, or was since there had
    /// been `evictions`.
    ///
    /// - Parameter evictions: nil to lease those that are not being evicted, whatever was.
    func take(_ blobs: [Blob], since evictions: UInt64?) -> Lease? {
        let deadline = now() + UInt64(Limits.leaseSeconds) * 1_000_000_000
        let taken = state.withLock { state -> [Blob]? in
            if let evictions, state.hasLost(blobs, since: evictions) { return nil }
            return blobs.filter { blob in
                if state.leaving.contains(blob) { return false }
                let room = state.leased.count < Limits.leasedBlobs
                guard let entry = state.leased[blob] ?? (room ? (0, 0) : nil) else { return false }
                state.leased[blob] = (entry.holders + 1, deadline)
                return true
            }
        }
        return taken.map { Lease(self, $0) }
    }

    /// Waits until none of `blobs` is on its way out, for a second at most: a commit may take as long as the disk likes.
    func waitForEvictions(of blobs: [Blob]) {
        _ = state.wait(until: Clock.deadline(seconds: 1)) { state in
            blobs.contains(where: state.leaving.contains) ? nil : true
        }
    }

    /// True if a blob is under lease, or pinned.
    func isLeased(_ blob: Blob) -> Bool { state.withLock { $0.holds(blob, now()) } }

    /// Claims a blob for eviction until ``endEviction(_:)``; false while it is under lease.
    fileprivate func beginEviction(_ blob: Blob) -> Bool {
        state.withLock { state in
            if state.holds(blob, now()) { return false }
            state.leaving.insert(blob)
            return true
        }
    }

    /// The eviction is committed, or came to nothing.
    fileprivate func endEviction(_ blob: Blob) {
        state.signal { state in
            state.leaving.remove(blob)
            if state.recent.count == 2 * Limits.recentEvictions {
                state.recent.removeFirst(Limits.recentEvictions)
                state.evictedBefore += UInt64(Limits.recentEvictions)
            }
            state.recent.append(blob)
        }
    }

    /// Blobs under lease.
    var count: Int { state.withLock { $0.leased.count } }

    /// See ``pin(_:since:deadline:_:)``.
    func takePins(
        _ items: [PinTable.Item], since evictions: UInt64, deadline: UInt64, _ bounds: PinTable.Bounds
    ) -> (pin: UInt64, count: Int, bound: HintBound)? {
        state.withLock { state in
            if state.hasLost(items.map(\.blob), since: evictions) { return nil }
            return state.pins.take(items, deadline: deadline, now: now(), bounds)
        }
    }

    func giveBack(pin: UInt64, _ blobs: [Blob]) { state.withLock { $0.pins.giveBack(pin, blobs) } }

    /// Blobs that are pinned, and their stored bytes.
    var pinned: (blobs: Int, bytes: Int) { state.withLock { $0.pins.totals(now: now()) } }

    fileprivate func giveBack(_ blobs: [Blob]) {
        state.withLock { state in
            for blob in blobs {
                guard let entry = state.leased[blob] else { continue }
                state.leased[blob] = entry.holders == 1 ? nil : (entry.holders - 1, entry.deadline)
            }
        }
    }
}

/// Blobs that a transaction evicts, until it is committed or comes to nothing: no lease is given on them meanwhile.
final class EvictionClaims {
    private let table: LeaseTable
    private var blobs: [LeaseTable.Blob] = []

    init(_ table: LeaseTable) { self.table = table }

    /// False while the blob is under lease.
    func take(_ blob: LeaseTable.Blob) -> Bool {
        guard table.beginEviction(blob) else { return false }
        blobs.append(blob)
        return true
    }

    deinit { for blob in blobs { table.endEviction(blob) } }
}

/// A lease; given back with the object.
final class Lease: Sendable {
    private let table: LeaseTable
    private let blobs: [LeaseTable.Blob]

    fileprivate init(_ table: LeaseTable, _ blobs: [LeaseTable.Blob]) {
        self.table = table
        self.blobs = blobs
    }

    deinit { table.giveBack(blobs) }
}
