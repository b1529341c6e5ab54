import LarderModel

/// Blobs that are pinned, by whom and until when; a part of ``LeaseTable``, whose lock it shares, so that no blob is pinned
/// while it is evicted.
struct PinTable {
    /// A blob, the namespace that it counts for, and its stored bytes.
    struct Item {
        let blob: LeaseTable.Blob
        let namespaceID: UInt32
        let bytes: Int
    }

    /// What may be pinned of one shard, in stored bytes.
    struct Bounds {
        let bytes: Int
        let namespaceBytes: Int
    }

    private struct Pinned {
        let namespaceID: UInt32
        let bytes: Int
        /// Pins and their deadlines: few.
        var holders: [(pin: UInt64, deadline: UInt64)]
    }

    private var blobs: [LeaseTable.Blob: Pinned] = [:]
    private var nextPin: UInt64 = 1

    /// True if a pin of a blob has not ended.
    func holds(_ blob: LeaseTable.Blob, now: UInt64) -> Bool {
        blobs[blob]?.holders.contains { $0.deadline > now } ?? false
    }

    /// Pins the first of `items` that the bounds leave room for. Returns the pin's number, how many it holds, and what bounds
    /// it.
    mutating func take(
        _ items: [Item], deadline: UInt64, now: UInt64, _ bounds: Bounds
    ) -> (pin: UInt64, count: Int, bound: HintBound) {
        dropEnded(now)
        let pin = nextPin
        nextPin += 1
        // All items are of one namespace and one shard, and a blob has one size: what is held already costs nothing.
        guard let first = items.first else { return (pin, 0, .none) }
        let held = bytes(shard: first.blob.shard, first.namespaceID)
        var room = min(bounds.bytes - held.all, bounds.namespaceBytes - held.own)
        for (index, item) in items.enumerated() {
            if var known = blobs[item.blob] {
                known.holders.append((pin, deadline))
                blobs[item.blob] = known
                continue
            }
            guard item.bytes <= room else { return (pin, index, .bytes) }
            guard blobs.count < Limits.pinnedBlobs else { return (pin, index, .count) }
            room -= item.bytes
            blobs[item.blob] = Pinned(
                namespaceID: item.namespaceID, bytes: item.bytes, holders: [(pin, deadline)])
        }
        return (pin, items.count, .none)
    }

    mutating func giveBack(_ pin: UInt64, _ held: [LeaseTable.Blob]) {
        for blob in held {
            blobs[blob]?.holders.removeAll { $0.pin == pin }
            if blobs[blob]?.holders.isEmpty == true { blobs[blob] = nil }
        }
    }

    /// Pinned blobs and their stored bytes.
    mutating func totals(now: UInt64) -> (blobs: Int, bytes: Int) {
        dropEnded(now)
        return (blobs.count, blobs.values.reduce(0) { $0 + $1.bytes })
    }

    private mutating func dropEnded(_ now: UInt64) {
        for (blob, pinned) in blobs where pinned.holders.contains(where: { $0.deadline <= now }) {
            blobs[blob]!.holders.removeAll { $0.deadline <= now }
            if blobs[blob]!.holders.isEmpty { blobs[blob] = nil }
        }
    }

    private func bytes(shard: Int, _ namespaceID: UInt32) -> (all: Int, own: Int) {
        var sum = (all: 0, own: 0)
        for (blob, pinned) in blobs where blob.shard == shard {
            sum.all += pinned.bytes
            if pinned.namespaceID == namespaceID { sum.own += pinned.bytes }
        }
        return sum
    }
}

/// A pin; ends with its deadline, or with the object.
final class Pin: Sendable {
    private let table: LeaseTable
    private let number: UInt64
    private let blobs: [LeaseTable.Blob]
    let deadline: UInt64

    fileprivate init(_ table: LeaseTable, _ number: UInt64, _ blobs: [LeaseTable.Blob], deadline: UInt64) {
        self.table = table
        self.number = number
        self.blobs = blobs
        self.deadline = deadline
    }

    /// True if it holds one of some blobs.
    func holds(anyOf others: Set<LeaseTable.Blob>) -> Bool { blobs.contains(where: others.contains) }

    deinit { table.giveBack(pin: number, blobs) }
}

/// A pin of one reader.
struct HeldPin {
    let owner: RetentionTable.Owner
    /// The request that asked for it: a later one's take its place.
    let request: UInt64
    let pin: Pin
}

extension LeaseTable {
    /// Pins the first of some blobs of one shard and one namespace that the bounds leave room for. Nil if one of them is
    /// being evicted, or was since there had been `evictions`.
    func pin(
        _ items: [PinTable.Item], since evictions: UInt64, deadline: UInt64, _ bounds: PinTable.Bounds
    ) -> (pin: Pin, count: Int, bound: HintBound)? {
        guard let taken = takePins(items, since: evictions, deadline: deadline, bounds) else { return nil }
        let held = items.prefix(taken.count).map(\.blob)
        return (Pin(self, taken.pin, held, deadline: deadline), taken.count, taken.bound)
    }
}
