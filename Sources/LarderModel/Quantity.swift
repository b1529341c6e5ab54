/// Sizes and times as people write them.
public enum Quantity {
    /// Bytes: a whole number with an optional unit, `64MiB`, `10 GiB`, `2TB`. Throws ``LarderError`` with
    /// `invalidArgument`.
    public static func bytes(_ text: String) throws(LarderError) -> Int {
        let right = "a size such as 64MiB, 10GiB or 500GB"
        let (count, unit) = try split(text, right)
        let factors = [
            "": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "KB": 1_000, "MB": 1_000_000,
            "GB": 1_000_000_000, "TB": 1_000_000_000_000,
        ]
        guard let factor = factors[unit] else { throw wrong(text, right) }
        let (value, overflow) = count.multipliedReportingOverflow(by: factor)
        guard !overflow, value < 1 << 50 else { throw wrong(text, right) }
        return value
    }

    /// Seconds: a whole number with a unit, `90s`, `30min`, `24h`, `7d`. Throws ``LarderError`` with `invalidArgument`,
    /// also for what is not below 2^32 - 1 seconds, 136 years.
    public static func seconds(_ text: String) throws(LarderError) -> UInt32 {
        let right = "a time such as 90s, 30min, 24h or 7d"
        let (count, unit) = try split(text, right)
        let factors = ["s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800]
        guard let factor = factors[unit] else { throw wrong(text, right) }
        let (value, overflow) = count.multipliedReportingOverflow(by: factor)
        guard !overflow, let seconds = UInt32(exactly: value), seconds < .max else { throw wrong(text, right) }
        return seconds
    }

    /// The number and the unit.
    private static func split(_ text: String, _ right: String) throws(LarderError) -> (count: Int, unit: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int(digits) else { throw wrong(text, right) }
        return (count, String(text[digits.endIndex...].drop { $0 == " " }))
    }

    private static func wrong(_ text: String, _ right: String) -> LarderError {
        LarderError(.invalidArgument, "'\(text.clipped)' is not \(right)")
    }
}
