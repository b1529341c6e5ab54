import LarderModel

/// The bytes of a table, little-endian: u32 format version, u32 zero, u64 epoch, u64 count, then for each key u64 key,
/// u32 time, f32 frequency (negative: resident). They carry no checksum: the caller adds one.
extension HeatTable {
    /// The version of the layout.
    static let formatVersion: UInt32 = 1
    private static let entryBytes = 16

    /// All keys, for `init(bytes:keys:tau:frequencyLimit:)`.
    public var bytes: [UInt8] {
        let known = entries.count { !$0.isEmpty }
        var writer = ByteWriter(capacity: 24 + known * Self.entryBytes)
        writer.write(Self.formatVersion)
        writer.write(UInt32(0))
        writer.write(epoch)
        writer.write(UInt64(known))
        for entry in entries where !entry.isEmpty {
            writer.write(entry.key)
            writer.write(entry.time)
            writer.write(entry.signedFrequency.bitPattern)
        }
        return writer.bytes
    }

    /// The table of `bytes` with room for at least `keys` keys: where it has less than the saved one had, the coldest
    /// of a bucket are forgotten. Throws `damaged` for bytes that no table wrote.
    public init(bytes: [UInt8], keys: Int, tau: Double, frequencyLimit: Float = .infinity) throws(LarderError) {
        self.init(keys: keys, tau: tau, frequencyLimit: frequencyLimit)
        // Typed throws do not pass through the closure.
        let result = bytes.withUnsafeBytes { raw in
            Result { () throws(LarderError) in try Self.parse(raw) }
        }
        let (epoch, saved) = try result.get()
        self.epoch = epoch
        for var entry in saved where index(of: entry.key) == nil {
            let frequency = min(entry.frequency, self.frequencyLimit)
            entry.signedFrequency = entry.isResident ? -frequency : frequency
            place(entry)
        }
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer) throws(LarderError) -> (UInt64, [Entry]) {
        var reader = ByteReader(bytes)
        let version = try reader.read(UInt32.self, "format version")
        guard version == formatVersion else {
            throw LarderError(.damaged, "heat table of format \(version), where \(formatVersion) is known")
        }
        let reserved = try reader.read(UInt32.self, "reserved")
        let epoch = try reader.read(UInt64.self, "epoch")
        let count = try reader.read(UInt64.self, "count")
        guard reserved == 0, epoch <= limitTime, count <= UInt64(limitKeys),
            reader.remaining == Int(count) * entryBytes
        else { throw LarderError(.damaged, "heat table whose head does not fit its \(bytes.count) bytes") }
        var entries: [Entry] = []
        entries.reserveCapacity(Int(count))
        for _ in 0..<count {
            let key = try reader.read(UInt64.self, "key")
            let time = try reader.read(UInt32.self, "time")
            let frequency = Float(bitPattern: try reader.read(UInt32.self, "frequency"))
            guard abs(frequency) >= 1, abs(frequency) <= limitFrequency else {
                throw LarderError(.damaged, "heat table with a frequency of \(frequency)")
            }
            entries.append(Entry(key: key, time: time, signedFrequency: frequency))
        }
        return (epoch, entries)
    }
}
