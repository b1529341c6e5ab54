/// How much may be written to the device in a day, as a budget that fills evenly over the day: what was not written an hour
/// ago may be written now, but no more than an hour's worth.
public struct WearBudget: Sendable {
    /// Bytes a day; 0 for no bound.
    public let bytesPerDay: UInt64
    private var left: Double
    private var seconds: UInt64

    /// A budget that begins with an hour's worth.
    ///
    /// - Parameter seconds: the time, of a clock that never goes back.
    public init(bytesPerDay: UInt64, at seconds: UInt64) {
        self.bytesPerDay = bytesPerDay
        self.seconds = seconds
        left = Double(bytesPerDay) / 24
    }

    private var hour: Double { Double(bytesPerDay) / 24 }

    /// Takes into account what was written up to a time.
    public mutating func note(writtenBytes: UInt64, at now: UInt64) {
        let passed = Double(now > seconds ? now - seconds : 0)
        seconds = max(seconds, now)
        left = min(hour, left + Double(bytesPerDay) * passed / 86_400) - Double(writtenBytes)
    }

    /// True if nothing new may be taken in until later.
    public var isSpent: Bool { bytesPerDay > 0 && left <= 0 }

    /// True if what is rewritten is to be less than usual.
    public var isShort: Bool { bytesPerDay > 0 && left < hour / 2 }
}
