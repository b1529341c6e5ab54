import LarderPolicy
import Testing

/// A day's writes, an hour's worth at a time.
@Suite struct WearBudgetTests {
    private static let day: UInt64 = 86_400
    private static let bytes: UInt64 = 24_000_000

    @Test func tricklesIn() {
        var budget = WearBudget(bytesPerDay: Self.bytes, at: 0)
        #expect(!budget.isSpent && !budget.isShort)
        budget.note(writtenBytes: 600_000, at: 0)
        #expect(!budget.isSpent && budget.isShort)
        budget.note(writtenBytes: 400_000, at: 0)
        #expect(budget.isSpent)
        // Half an hour later half an hour's worth is there.
        budget.note(writtenBytes: 0, at: 1_800)
        #expect(!budget.isSpent)
        budget.note(writtenBytes: 500_000, at: 1_800)
        #expect(budget.isSpent)
        // Of a whole day without writes only an hour's worth is kept.
        budget.note(writtenBytes: 0, at: 1_800 + Self.day)
        budget.note(writtenBytes: 1_000_000, at: 1_800 + Self.day)
        #expect(budget.isSpent)
    }

    @Test func holdsOverADay() {
        var budget = WearBudget(bytesPerDay: Self.bytes, at: 0)
        var written: UInt64 = 0
        for second in 1...Self.day where !budget.isSpent {
            budget.note(writtenBytes: 0, at: second)
        }
        for second in Self.day...2 * Self.day {
            budget.note(writtenBytes: budget.isSpent ? 0 : 2_000, at: second)
            if !budget.isSpent { written += 2_000 }
        }
        #expect(written <= Self.bytes + Self.bytes / 24 && written > Self.bytes / 10 * 9, "\(written)")
    }

    @Test func noBudgetBoundsNothing() {
        var budget = WearBudget(bytesPerDay: 0, at: 5)
        budget.note(writtenBytes: 1 << 50, at: 5)
        #expect(!budget.isSpent && !budget.isShort)
    }

    @Test func aClockThatGoesBackGivesNothing() {
        var budget = WearBudget(bytesPerDay: Self.bytes, at: 1_000)
        budget.note(writtenBytes: 2_000_000, at: 1_000)
        budget.note(writtenBytes: 0, at: 0)
        budget.note(writtenBytes: 0, at: 1_000)
        #expect(budget.isSpent)
    }
}
