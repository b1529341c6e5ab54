/// What the heat of a chunk is remembered under, so that a chunk that was evicted and is stored again is known: the place
/// in its session, or its prefix key. Two chunks of one key share their heat: an error of no weight.
enum HeatKey {
    static func of(session: UInt64, rank: UInt16, component: UInt8, offset: UInt64) -> UInt64 {
        mix(mix(session) ^ (UInt64(rank) << 48 | UInt64(component) << 40 | offset))
    }

    static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0
        for start in stride(from: 0, to: bytes.count, by: 8) {
            var word: UInt64 = 0
            for index in start..<min(start + 8, bytes.count) { word = word << 8 | UInt64(bytes[index]) }
            hash = mix(hash ^ word)
        }
        return hash
    }

    /// Spreads every bit over all: two rounds of multiply and shift.
    private static func mix(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}

extension PrefixPlace {
    /// See ``HeatKey``.
    var heatKey: UInt64 { withBytes { HeatKey.of($0) } }
}
