import LarderPolicy
import Testing

@Suite struct TurnTrackerTests {
    private static func put(
        _ tracker: inout TurnTracker, session: UInt64, _ range: Range<UInt64>, key: UInt64 = 0, connection: UInt64 = 1,
        now: UInt64 = 0
    ) {
        let chunk = TracedChunk(
            component: 0, offset: range.lowerBound, tokens: UInt32(range.count), key: key)
        tracker.note(.put(connection: connection, session: session, chunk), now: now)
    }

    private static func resume(_ tracker: inout TurnTracker, session: UInt64, at offset: UInt64, now: UInt64 = 0) {
        tracker.note(.resume(connection: 1, session: session, offset: offset), now: now)
    }

    @Test func aTurnLastsToTheNextAndKeepsItsBlocks() throws {
        var tracker = TurnTracker()
        Self.resume(&tracker, session: 7, at: 0, now: 5)
        Self.put(&tracker, session: 7, 0..<256)
        Self.put(&tracker, session: 7, 256..<1_100)
        Self.resume(&tracker, session: 7, at: 1_100, now: 9)
        Self.put(&tracker, session: 7, 1_100..<1_600)
        tracker.endAll()
        let turns = tracker.takeEnded()
        try #require(turns.count == 2)
        #expect(turns.map(\.timestamp) == [5, 9])
        #expect(turns.map(\.length) == [1_100, 1_600])
        #expect(turns.map(\.blocks.count) == [3, 4])
        #expect(turns[0].blocks[..<2] == turns[1].blocks[..<2])
        // The third was not whole before: another prefix.
        #expect(turns[0].blocks[2] != turns[1].blocks[2])
        #expect(turns.flatMap(\.blocks).allSatisfy { $0 < 1 << 53 })
    }

    @Test func equalKeysAreEqualBlocksAndOthersAreNot() throws {
        var tracker = TurnTracker()
        for session: UInt64 in 1...3 {
            tracker.note(.match(connection: session), now: session)
            Self.put(&tracker, session: session, 0..<512, key: 11, connection: session)
            Self.put(&tracker, session: session, 512..<1_024, key: session == 3 ? 13 : 12, connection: session)
        }
        // Without keys nothing is known to be equal.
        Self.resume(&tracker, session: 4, at: 0, now: 4)
        Self.put(&tracker, session: 4, 0..<1_024)
        tracker.endAll()
        let turns = tracker.takeEnded().sorted { $0.timestamp < $1.timestamp }
        try #require(turns.count == 4)
        #expect(turns[0].blocks == turns[1].blocks)
        #expect(turns[0].blocks[0] == turns[2].blocks[0] && turns[0].blocks[1] != turns[2].blocks[1])
        #expect(Set(turns[3].blocks).isDisjoint(with: turns[..<3].flatMap(\.blocks)))
    }

    @Test func forksShareTheirPast() throws {
        var tracker = TurnTracker()
        Self.resume(&tracker, session: 1, at: 0)
        Self.put(&tracker, session: 1, 0..<2_048)
        tracker.note(.fork(parent: 1, offset: 1_024, child: 2), now: 0)
        Self.resume(&tracker, session: 2, at: 1_024, now: 1)
        Self.put(&tracker, session: 2, 1_024..<2_048)
        tracker.endAll()
        let turns = tracker.takeEnded().sorted { $0.timestamp < $1.timestamp }
        try #require(turns.count == 2)
        #expect(turns[0].blocks[..<2] == turns[1].blocks[..<2])
        #expect(Set(turns[0].blocks[2...]).isDisjoint(with: turns[1].blocks[2...]))
    }

    @Test(arguments: [true, false])
    func whatWasEvictedComesBackTheSameAndWhatWasEditedDoesNot(isEdit: Bool) throws {
        var tracker = TurnTracker()
        Self.resume(&tracker, session: 1, at: 0)
        Self.put(&tracker, session: 1, 0..<2_048)
        Self.resume(&tracker, session: 1, at: isEdit ? 2_048 : 1_024, now: 1)
        tracker.note(.truncate(session: 1, offset: 1_024), now: 1)
        Self.put(&tracker, session: 1, 1_024..<2_048)
        tracker.endAll()
        let turns = tracker.takeEnded().sorted { $0.timestamp < $1.timestamp }
        try #require(turns.count == 2)
        #expect(turns[0].blocks[..<2] == turns[1].blocks[..<2])
        #expect((turns[0].blocks == turns[1].blocks) == !isEdit)
    }

    @Test func turnsEndByDropsAndByThemselves() {
        var tracker = TurnTracker()
        for session: UInt64 in 1...2 {
            Self.resume(&tracker, session: session, at: 0)
            Self.put(&tracker, session: session, 0..<512)
        }
        tracker.note(.drop(session: 1), now: 1)
        #expect(tracker.takeEnded().count == 1)
        tracker.endIdle(now: TurnTracker.idleMilliseconds - 1)
        #expect(tracker.takeEnded().isEmpty)
        tracker.endIdle(now: TurnTracker.idleMilliseconds)
        #expect(tracker.takeEnded().count == 1)
    }

    @Test func memoryIsBounded() {
        var tracker = TurnTracker()
        for session in 1...UInt64(TurnTracker.blockLimit / 4_096 + 16) {
            Self.put(&tracker, session: session, 0..<4_096 * 512)
        }
        #expect(tracker.forgotten > 0)
    }

    @Test func linesAreATrace() throws {
        var tracker = TurnTracker()
        for turn: UInt64 in 0..<20 {
            let session = turn % 4 + 1
            tracker.note(.match(connection: 1), now: turn)
            Self.put(&tracker, session: session, 0..<512, key: turn % 3 == 0 ? 0 : 5, now: turn)
            Self.put(&tracker, session: session, 512..<(600 + 700 * turn), key: turn % 2 == 0 ? 0 : turn, now: turn)
        }
        tracker.endAll()
        let turns = tracker.takeEnded()
        let trace = try RequestTrace(
            Array(turns.map(\.line).joined(separator: "\n").utf8), name: "recorded"
        ).orderedByTime
        #expect(trace.requests.map(\.timestamp) == Array(0..<20))
    }
}
