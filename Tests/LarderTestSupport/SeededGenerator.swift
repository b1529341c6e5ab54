import LarderSystem

/// A random number generator whose run can be repeated: SplitMix64.
public struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    /// A generator that starts from `seed`.
    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    /// `count` random bytes.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}

/// The seed of a test's run: LARDER_SEED, or a new one. Printed, so that a failure can be repeated.
public func testSeed(_ test: String) -> UInt64 {
    let seed = environmentSeed ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("\(test): seed \(seed) (repeat with LARDER_SEED=\(seed))")
    return seed
}

private let environmentSeed = Process.environment("LARDER_SEED").flatMap { UInt64($0) }
