import LarderModel

/// How fast a model's workers compute: what somebody declared, and the average of what they report themselves.
struct PrefillRate: Sendable {
    /// Stands for the hour in the keys of these records, which follow all others in their database.
    static let hour = UInt64.max
    /// Bytes of a record with its key, about.
    static let recordBytes = 40

    /// Tokens a second; 0 if nobody declared it.
    var declared: UInt32 = 0
    /// Thousandths of a token a second; 0 if no worker has reported any.
    private(set) var learnedMilli: UInt64 = 0
    /// True if the store does not have it yet.
    var isUnsaved = false

    /// No rate.
    init() {}

    /// Takes a report into account: the first as it is, a later one as an eighth of the average.
    mutating func learn(_ rate: UInt32) {
        let milli = UInt64(rate) * 1_000
        let next = learnedMilli == 0 ? milli : (learnedMilli * 7 + milli) / 8
        if next == learnedMilli { return }
        learnedMilli = next
        isUnsaved = true
    }

    /// Tokens a second as workers report them, at least 1 if any did.
    var learned: UInt32 {
        learnedMilli == 0 ? 0 : UInt32(clamping: max(1, (learnedMilli + 500) / 1_000))
    }

    static func key(modelID: UInt32) -> WordKey { WordKey(hour, UInt64(modelID) << 32) }

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 16)
        writer.write(declared)
        writer.write(learnedMilli)
        return Record.seal(writer, key: key)
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "prefill rate")
        declared = try reader.read(UInt32.self, "declared rate")
        // No more than a report can be, so that an average cannot overflow.
        learnedMilli = min(try reader.read(UInt64.self, "learned rate"), UInt64(UInt32.max) * 1_000)
        try reader.finish("a prefill rate record")
    }
}

/// The prefill rates of a store's models, by model id: no more than there are models.
struct PrefillRates: Sendable {
    var byModel: [UInt32: PrefillRate] = [:]

    /// The rate of a model, or of a group's models in order of rank: the first that was declared, else the first that was
    /// learned. Tokens a second; 0 if there is none.
    func rate(of modelIDs: some Collection<UInt32>) -> (rate: UInt32, origin: PrefillRateOrigin) {
        let known = modelIDs.compactMap { byModel[$0] }
        if let rate = known.first(where: { $0.declared > 0 }) { return (rate.declared, .declared) }
        if let rate = known.first(where: { $0.learned > 0 }) { return (rate.learned, .learned) }
        return (0, .none)
    }
}
