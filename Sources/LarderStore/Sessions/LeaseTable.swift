import LarderModel
import LarderSystem

/// Blobs that must not be evicted for a while: those that a resume has named, until its connection ends or asks anew, or
/// ``Limits/leaseSeconds`` have passed.
final class LeaseTable: Sendable {
    struct Blob: Hashable {
        let shard: Int
        let id: UInt64
    }

    private let state = Monitor<[Blob: (holders: Int, deadline: UInt64)]>([:])

    /// Leases blobs, as many of them as the table still holds.
    func take(_ blobs: [Blob]) -> Lease {
        let deadline = Clock.deadline(seconds: Double(Limits.leaseSeconds))
        let taken = state.withLock { state in
            blobs.filter { blob in
                guard let entry = state[blob] ?? (state.count < Limits.leasedBlobs ? (0, 0) : nil) else { return false }
                state[blob] = (entry.holders + 1, deadline)
                return true
            }
        }
        return Lease(self, taken)
    }

    func isLeased(_ blob: Blob) -> Bool { state.withLock { $0[blob].map { $0.deadline > Clock.now() } ?? false } }

    /// Blobs under lease.
    var count: Int { state.withLock { $0.count } }

    fileprivate func giveBack(_ blobs: [Blob]) {
        state.withLock { state in
            for blob in blobs {
                guard let entry = state[blob] else { continue }
                state[blob] = entry.holders == 1 ? nil : (entry.holders - 1, entry.deadline)
            }
        }
    }
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
