import Foundation
import LarderModel

/// How hot keys are, in bounded memory: when each was last used and how often, also of keys that were evicted since
/// (ghosts), so that a key that comes back keeps its frequency.
///
/// Heat is log(frequency) + time of last use / tau: an e-fold of frequency is worth tau ticks of recency. It needs no
/// ageing: a key that nobody uses stays behind as the others' times go on.
///
/// Set-associative, 8 ways of 16 bytes: where a bucket is full, its coldest key is forgotten. A plain value: the caller
/// locks.
public struct HeatTable: Sendable {
    /// Keys of one bucket.
    public static let ways = 8
    /// Keys that a table may hold: 1 GiB of memory.
    public static let limitKeys = 1 << 26
    /// A use counts up to here, where a Float stops to count.
    static let limitFrequency: Float = 16_777_216

    /// Later times count as this one.
    static let limitTime = UInt64.max >> 1

    /// One way of a bucket.
    struct Entry: Sendable {
        var key: UInt64 = 0
        /// Ticks after the table's epoch, from 1; 0 for a demoted key.
        var time: UInt32 = 0
        /// Uses, at least 1; negative while the key is resident, 0 in an empty way.
        var signedFrequency: Float = 0

        var isEmpty: Bool { signedFrequency == 0 }
        var frequency: Float { abs(signedFrequency) }
        var isResident: Bool {
            get { signedFrequency < 0 }
            set { signedFrequency = newValue ? -frequency : frequency }
        }
    }

    /// Ticks that an e-fold of frequency is worth.
    public let tau: Double
    /// Uses beyond this are not counted: 1 makes heat mean recency.
    public let frequencyLimit: Float
    /// Keys that the table can hold.
    public var capacity: Int { entries.count }
    /// Keys that are marked resident.
    public internal(set) var residents = 0
    /// The tick that an entry's time counts from.
    var epoch: UInt64 = 0
    var entries: [Entry]

    /// An empty table for at least `keys` keys, rounded up to a power of two, in 16 bytes each.
    public init(keys: Int, tau: Double, frequencyLimit: Float = .infinity) {
        precondition(tau > 0 && frequencyLimit >= 1, "heat needs a positive tau and counts at least one use")
        precondition(keys <= Self.limitKeys, "a heat table holds at most \(Self.limitKeys) keys")
        self.tau = tau
        self.frequencyLimit = min(frequencyLimit, Self.limitFrequency)
        let keys = max(keys, Self.ways)
        entries = Array(repeating: Entry(), count: 1 << (Int.bitWidth - (keys - 1).leadingZeroBitCount))
    }

    /// Counts a use of a key (a put or a page-in) at a time in ticks. A time before the key's last use counts as that.
    public mutating func use(_ key: UInt64, at time: UInt64) {
        let time = sinceEpoch(time)
        if let index = index(of: key) {
            entries[index].time = max(entries[index].time, time)
            let frequency = min(entries[index].frequency + 1, frequencyLimit)
            entries[index].signedFrequency = entries[index].isResident ? -frequency : frequency
        } else {
            place(Entry(key: key, time: time, signedFrequency: 1))
        }
    }

    /// The heat of a key, in e-folds of frequency: -infinity for a demoted key; nil for a key that the table has never met
    /// or has forgotten.
    public func heat(of key: UInt64) -> Double? { index(of: key).map { heat(entries[$0]) } }

    /// The heat that a key would have if it had been used at `time`, should that be later than its last use; a key that is
    /// not known counts as used once, and has none without a time.
    public func heat(of key: UInt64, usedBy time: UInt64) -> Double? {
        let recent = time > 0 ? log(Double(frequency(of: key) ?? 1)) + Double(time) / tau : nil
        guard !isDemoted(key) else { return heat(of: key) }
        guard let heat = heat(of: key) else { return recent }
        return max(heat, recent ?? heat)
    }

    /// When a key was last used; nil as for `heat(of:)`, and for a demoted key.
    public func lastUse(of key: UInt64) -> UInt64? {
        index(of: key).flatMap { entries[$0].time == 0 ? nil : epoch + UInt64(entries[$0].time) }
    }

    /// Makes a key as recent as a time, without counting a use.
    public mutating func touch(_ key: UInt64, at time: UInt64) {
        let time = sinceEpoch(time)
        if let index = index(of: key) { entries[index].time = max(entries[index].time, time) }
    }

    /// Uses of a key that are remembered; nil as for `heat(of:)`.
    public func frequency(of key: UInt64) -> Float? { index(of: key).map { entries[$0].frequency } }

    /// Whether a key is marked resident.
    public func isResident(_ key: UInt64) -> Bool { index(of: key).map { entries[$0].isResident } ?? false }

    /// Makes a key infinitely cold until its next use, which finds its frequency.
    public mutating func demote(_ key: UInt64) {
        if let index = index(of: key) { entries[index].time = 0 }
    }

    /// Whether a key was demoted, and not used since.
    public func isDemoted(_ key: UInt64) -> Bool { index(of: key).map { entries[$0].time == 0 } ?? false }

    /// Takes one use of a key back; one is left.
    public mutating func decrement(_ key: UInt64) {
        guard let index = index(of: key) else { return }
        let frequency = max(1, entries[index].frequency - 1)
        entries[index].signedFrequency = entries[index].isResident ? -frequency : frequency
    }

    /// Marks a key as resident, or as a ghost. A key that the table does not know stays unknown.
    public mutating func setResident(_ key: UInt64, _ isResident: Bool) {
        guard let index = index(of: key), entries[index].isResident != isResident else { return }
        entries[index].isResident = isResident
        residents += isResident ? 1 : -1
    }

    /// Heats of up to `count` resident keys, from a random place on: keys lie there by their hash, which knows no heat.
    /// As many as there are, if they are fewer. Reads capacity / residents entries for each.
    public func sampleHeats(_ count: Int, using generator: inout some RandomNumberGenerator) -> [Double] {
        let count = min(count, residents)
        var heats: [Double] = []
        heats.reserveCapacity(count)
        var index = Int.random(in: 0..<entries.count, using: &generator)
        while heats.count < count {
            if entries[index].isResident { heats.append(heat(entries[index])) }
            index = (index + 1) & (entries.count - 1)
        }
        return heats
    }

    func heat(_ entry: Entry) -> Double {
        if entry.time == 0 { return -.infinity }
        return log(Double(entry.frequency)) + Double(epoch + UInt64(entry.time)) / tau
    }
}

/// Where entries are.
extension HeatTable {
    /// The first way of a key's bucket.
    private func bucket(of key: UInt64) -> Int {
        Int(truncatingIfNeeded: Self.mixed(key)) & (entries.count - 1) & ~(Self.ways - 1)
    }

    /// The finalizer of SplitMix64: keys may be consecutive.
    static func mixed(_ key: UInt64) -> UInt64 {
        var hash = key
        hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
        return hash ^ hash >> 31
    }

    func index(of key: UInt64) -> Int? {
        let first = bucket(of: key)
        for index in first..<first + Self.ways where entries[index].key == key && !entries[index].isEmpty {
            return index
        }
        return nil
    }

    /// Puts an entry whose key is not there into an empty way of its bucket, or in place of the coldest.
    mutating func place(_ entry: Entry) {
        let first = bucket(of: entry.key)
        var victim = first
        var coldest = Double.infinity
        for index in first..<first + Self.ways {
            if entries[index].isEmpty {
                victim = index
                break
            }
            let heat = heat(entries[index])
            if heat < coldest { (victim, coldest) = (index, heat) }
        }
        residents += (entry.isResident ? 1 : 0) - (entries[victim].isResident ? 1 : 0)
        entries[victim] = entry
    }

    /// A tick as an entry keeps it, from 1. A tick beyond 32 bits moves the epoch.
    private mutating func sinceEpoch(_ time: UInt64) -> UInt32 {
        let time = min(time, Self.limitTime)
        if time > epoch, time - epoch > UInt64(UInt32.max) { moveEpoch(to: time - UInt64(UInt32.max / 2)) }
        return UInt32(max(time, epoch + 1) - epoch)
    }

    /// Counts times from a later epoch on. What was used before that is as cold as what was demoted.
    private mutating func moveEpoch(to later: UInt64) {
        let ticks = later - epoch
        for index in entries.indices {
            entries[index].time = UInt32(UInt64(entries[index].time) - min(UInt64(entries[index].time), ticks))
        }
        epoch = later
    }
}
