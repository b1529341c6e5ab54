import LarderModel
import Testing

/// Sizes and times as people write them.
@Suite struct QuantityTests {
    @Test(arguments: [
        ("0", 0), ("7", 7), ("7B", 7), ("64MiB", 64 << 20), ("10 GiB", 10 << 30), ("2TB", 2_000_000_000_000),
        ("500GB", 500_000_000_000), ("1023TiB", 1_023 << 40),
    ])
    func sizes(text: String, bytes: Int) throws { #expect(try Quantity.bytes(text) == bytes) }

    @Test(arguments: [
        "", "MiB", "-1", "1.5GiB", "1 mib", "1024TiB", "99999999999999999999", "9223372036854775807TiB", "٣",
    ])
    func noSizes(text: String) { #expect(throws: LarderError.self) { try Quantity.bytes(text) } }

    @Test(arguments: [
        ("90s", 90), ("0s", 0), ("30min", 1_800), ("30m", 1_800), ("24h", 86_400), ("7 d", 604_800),
        ("2w", 1_209_600), ("4294967294s", 4_294_967_294),
    ])
    func times(text: String, seconds: UInt32) throws { #expect(try Quantity.seconds(text) == seconds) }

    @Test(arguments: ["", "24", "h", "1y", "-1s", "1h30min", "4294967295s", "8000w", "9223372036854775807w"])
    func noTimes(text: String) { #expect(throws: LarderError.self) { try Quantity.seconds(text) } }
}
