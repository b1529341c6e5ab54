import LarderModel
import LarderStore
import LarderTestSupport
import Testing

/// What hints keep while others go, and for how long.
@Suite struct RetainTests {
    @Test func aRetainedSessionSurvivesAFloodThatEvictsItsEquals() throws {
        let hints = try HintFixture()
        let kept = try hints.session("kept", chunks: 10)
        let equal = try hints.session("equal", chunks: 10)
        #expect(try hints.hint(.retain, kept, seconds: 40) == HintResult(.accepted, to: 2_560, seconds: 40))
        #expect(hints.statistic("retentions") == 1)
        let bytes = hints.statistic("retained_bytes")
        #expect(bytes > 10 * 60_000 && bytes < 10 * 70_000)
        try hints.flood("a")
        #expect(try hints.left(kept) == 10)
        #expect(try hints.left(equal) == 0)
    }

    @Test func aRetentionEndsAtItsDeadlineAndWhenItIsEnded() throws {
        let hints = try HintFixture()
        let late = try hints.session("late", chunks: 8)
        let ended = try hints.session("ended", chunks: 8)
        let renewed = try hints.session("renewed", chunks: 8)
        for session in [late, ended, renewed] {
            #expect(try hints.hint(.retain, session, seconds: 40).outcome == .accepted)
        }
        #expect(try hints.hint(.retain, ended, seconds: 0).outcome == .accepted)
        hints.fixture.clock.advance(seconds: 30)
        #expect(try hints.hint(.retain, renewed, seconds: 40).outcome == .accepted)
        hints.fixture.clock.advance(seconds: 11)
        #expect(hints.statistic("retentions") == 1)
        try hints.flood("a")
        #expect(try hints.left(late) == 0)
        #expect(try hints.left(ended) == 0)
        #expect(try hints.left(renewed) == 8)
    }

    /// A bias has a limit: what grows gets its room from what is retained, if it must, and only then is the store full.
    @Test func aRetentionNeverMakesTheStoreFull() throws {
        let hints = try HintFixture()
        let kept = try hints.session("kept", chunks: 20)
        #expect(try hints.hint(.retain, kept, seconds: 40).outcome == .accepted)
        _ = try hints.session("other", chunks: 80)
        // More than the rest of the store.
        #expect(try hints.burst(try hints.fixture.session("large"), chunks: 90) == 90)
        #expect(try hints.left(kept) < 20)
    }

    @Test func aRangeKeepsItsChunksAlone() throws {
        let hints = try HintFixture()
        let session = try hints.session("s", chunks: 20)
        #expect(
            try hints.hint(.retain, session, to: 1_300, seconds: 40) == HintResult(.accepted, to: 1_300, seconds: 40))
        try hints.flood("a")
        // The sixth begins in the range.
        #expect(try hints.left(session) == 6)
        // Of one request, two ranges stand side by side; a later request takes their place.
        let other = try hints.session("t", chunks: 10)
        func retain(_ from: UInt64, _ to: UInt64) -> Hint {
            Hint(.retain, .session(other, from: from, to: to), seconds: 40)
        }
        #expect(
            try hints.fixture.reader.hint([retain(0, 512), retain(512, 1_024)]).allSatisfy { $0.outcome == .accepted })
        #expect(hints.statistic("retentions") == 3)
        #expect(try hints.fixture.reader.hint([retain(256, 512)])[0].outcome == .accepted)
        #expect(hints.statistic("retentions") == 2)
    }

    @Test func whatIsDemotedGoesFirst() throws {
        let hints = try HintFixture()
        let done = try hints.session("done", chunks: 10)
        let hot = try hints.session("hot", chunks: 10)
        let negative = try hints.session("negative", chunks: 10)
        for _ in 0..<20 {
            for session in [done, hot, negative] {
                #expect(try hints.left(session) == 10)
                _ = try hints.fixture.reader.resume(session: session, atMost: .max)
            }
        }
        #expect(try hints.hint(.retain, done, seconds: 40).outcome == .accepted)
        hints.fixture.clock.advance(seconds: 31)
        #expect(try hints.hint(.demote, done) == HintResult(.accepted, to: 2_560))
        #expect(hints.statistic("retentions") == 0)
        #expect(try hints.hint(.retain, negative, priority: -1, seconds: 40).outcome == .accepted)
        #expect(hints.statistic("retentions") == 0)
        try hints.flood("a", chunks: 120)
        #expect(try hints.left(done) == 0)
        #expect(try hints.left(negative) == 0)
        #expect(try hints.left(hot) == 10, "\(hints.store.statistics())")
    }

    @Test func aDemoteSparesWhatOtherSessionsSee() throws {
        let hints = try HintFixture()
        let trunk = try hints.session("trunk", chunks: 10)
        let branch = try hints.store.fork(session: trunk, offset: 1_280, name: "branch", reader: hints.fixture.reader)
        let result = try hints.hint(.demote, branch)
        #expect(result.outcome == .rejected && result.bound == .shared)
        try hints.grow(branch, to: 5..<8)
        let clipped = try hints.hint(.demote, branch)
        #expect(clipped.outcome == .clipped && clipped.bound == .shared && clipped.reason.contains("5 chunks"))
        // Of the trunk, what lies beyond the fork is its own.
        let own = try hints.hint(.demote, trunk)
        #expect(own.outcome == .clipped && own.bound == .shared && own.reason.contains("5 chunks"))
    }

    @Test func whatAForkLeavesBehindLosesItsWeight() throws {
        let hints = try HintFixture()
        let parent = try hints.session("parent", chunks: 20)
        #expect(try hints.hint(.retain, parent, seconds: 40).outcome == .accepted)
        let bytes = hints.statistic("retained_bytes")
        let reader = hints.fixture.reader
        // At its end nothing is left behind.
        _ = try hints.store.fork(session: parent, offset: 5_120, name: "helper", reader: reader)
        #expect(hints.statistic("retained_bytes") == bytes)
        let child = try hints.store.fork(session: parent, offset: 2_560, name: "child", reader: reader)
        #expect(abs(Double(hints.statistic("retained_bytes")) - Double(bytes) / 2) < Double(bytes) / 50)
        try hints.flood("a")
        #expect(try hints.left(parent) == 10)
        #expect(try hints.left(child, as: parent) == 10)
        // Asked for after the fork, it holds.
        #expect(try hints.hint(.retain, parent, seconds: 0).outcome == .accepted)
        let second = try hints.session("second", chunks: 20)
        _ = try hints.store.fork(session: second, offset: 2_560, name: "aside", reader: reader)
        #expect(try hints.hint(.retain, second, seconds: 40).outcome == .accepted)
        try hints.flood("b")
        #expect(try hints.left(second) == 20)
    }

    @Test func whatATruncateLeavesBehindLosesItsWeight() throws {
        let hints = try HintFixture()
        let session = try hints.session("s", chunks: 20)
        let witness = try hints.store.fork(
            session: session, offset: 5_120, name: "witness", reader: hints.fixture.reader)
        #expect(try hints.hint(.retain, session, seconds: 40).outcome == .accepted)
        try hints.store.truncate(session: session, offset: 2_560)
        try hints.flood("a")
        #expect(try hints.left(session) == 10)
        #expect(try hints.left(witness, as: session) == 10)
        try hints.store.drop(session: session)
        #expect(hints.statistic("retentions") == 0 && hints.statistic("retained_bytes") == 0)
    }

    @Test func theHigherPriorityGetsTheBytes() throws {
        // A quarter of what data may take: 27 chunks.
        let hints = try HintFixture()
        let low = try hints.session("low", chunks: 20)
        let high = try hints.session("high", chunks: 20)
        let middle = try hints.session("middle", chunks: 20)
        let other = try hints.session("other", chunks: 10, namespace: "other")
        #expect(try hints.hint(.retain, low, seconds: 40).outcome == .accepted)
        #expect(try hints.hint(.retain, other, priority: -0, seconds: 40).outcome == .accepted)
        #expect(try hints.hint(.retain, high, priority: 50, seconds: 40).outcome == .accepted)
        // Another namespace's gives way to none of this one's.
        #expect(hints.statistic("retentions") == 2)
        let rest = try hints.hint(.retain, middle, priority: 10, seconds: 40)
        #expect(rest.outcome == .clipped && rest.bound == .bytes && rest.to % 256 == 0)
        #expect(rest.to >= 256 && rest.to < 5_120 && rest.reason.contains("a namespace retains at most"))
    }

    @Test func boundsAreNamed() throws {
        let hints = try HintFixture()
        let session = try hints.session("s", chunks: 40)
        let bytes = try hints.hint(.retain, session, seconds: 40)
        #expect(bytes.outcome == .clipped && bytes.bound == .bytes && bytes.to > 5_120 && bytes.to < 10_240)
        let small = try hints.session("small", chunks: 2)
        _ = try hints.hint(.retain, session, seconds: 0)
        #expect(
            try hints.hint(.retain, small, seconds: .max).seconds == Limits.retainSeconds)
        #expect(try hints.hint(.retain, small, seconds: .max).bound == .limit)
        let high = try hints.hint(.retain, small, priority: 127, seconds: 1)
        #expect(high.outcome == .clipped && high.bound == .limit)
        let beyond = try hints.hint(.retain, small, to: 4_096, seconds: 1)
        #expect(beyond.outcome == .clipped && beyond.bound == .stored && beyond.to == 512)
    }
}
