import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// What the store remembers of savings, and for how long.
@Suite struct SavingsRecordTests {
    private static let day: UInt64 = 86_400
    private static let start: UInt64 = 20_000 * day

    private let clock = Monitor<UInt64>(Self.start)
    private static let model = ModelDeclaration(name: "plain", components: [StoreFixture.hybrid.components[0]])

    private func fixture(
        capBytes: Int = 64 << 20, adjust: (inout StoreConfiguration) -> Void = { _ in }
    ) throws -> StoreFixture {
        try StoreFixture(capBytes: capBytes) { configuration in
            configuration.wallSeconds = { [clock] in clock.withLock { $0 } }
            adjust(&configuration)
        }
    }

    private func set(_ seconds: UInt64) { clock.withLock { $0 = seconds } }

    private func put(_ fixture: StoreFixture, _ session: UInt64, _ offset: UInt64, tokens: UInt32 = 1) throws {
        var generator = SeededGenerator(seed: offset)
        try fixture.put(
            session, component: 0, offset: offset, tokens: tokens,
            generator.bytes(Self.model.components[0].byteCount(tokens: tokens)))
    }

    private func stored(_ fixture: StoreFixture, _ query: SavingsQuery = SavingsQuery()) throws -> UInt64 {
        try fixture.reader.savings(query).rows.reduce(0) { $0 + $1.tally.storedTokens }
    }

    @Test func survivesARestart() throws {
        let fixture = try fixture()
        let session = try fixture.session("a", model: Self.model)
        let model = try fixture.store.declare(Self.model)
        try put(fixture, session, 0, tokens: 32)
        #expect(try fixture.reader.resume(session: session, prefillRate: 1_000).prefillRate == 1_000)
        _ = try fixture.get(session, component: 0, offset: 0)
        let before = try fixture.reader.savings(SavingsQuery()).rows[0]
        #expect(before.tally.notRecomputedTokens == 32 && before.prefillAvoidedMilliseconds == 32)
        // What is counted twice, in memory and in the store, would show.
        fixture.store.recordSavings()
        #expect(try fixture.reader.savings(SavingsQuery()).rows[0].tally == before.tally)
        try put(fixture, session, 32, tokens: 8)
        try fixture.store.setPrefillRate(500, modelID: model.id)
        try fixture.reopen()
        let after = try fixture.reader.savings(SavingsQuery()).rows
        #expect(after.count == 1 && after[0].tally.storedTokens == 40 && after[0].tally.restoredTokens == 32)
        #expect(after[0].prefillRate == 500 && after[0].rateOrigin == .declared)
        #expect(after[0].prefillAvoidedMilliseconds == 64)
        // A session's counts begin anew.
        #expect(try fixture.reader.savings(session: session).rows.isEmpty)
        try fixture.store.setPrefillRate(0, modelID: model.id)
        try fixture.reopen()
        #expect(try fixture.reader.savings(SavingsQuery()).rows[0].rateOrigin == .learned)
        #expect(try fixture.reader.resume(session: session).prefillRate == 1_000)
    }

    @Test func learnsRatesAndPrefersWhatWasSet() throws {
        let fixture = try fixture()
        let session = try fixture.session("a", model: Self.model)
        let other = try fixture.session("b", model: StoreFixture.hybrid)
        let model = try fixture.store.declare(Self.model)
        try put(fixture, session, 0, tokens: 32)
        func rate(_ reported: UInt32 = 0) throws -> UInt32 {
            try fixture.reader.resume(session: session, prefillRate: reported).prefillRate
        }
        #expect(try rate() == 0)
        #expect(try rate(1_000) == 1_000 && rate() == 1_000)
        #expect(try rate(2_000) == 2_000 && rate() == 1_125)
        try fixture.store.setPrefillRate(500, modelID: model.id)
        // The worker knows best how fast it is itself.
        #expect(try rate() == 500 && rate(1_125) == 1_125 && rate() == 500)
        try fixture.store.setPrefillRate(0, modelID: model.id)
        #expect(try rate() == 1_125)
        #expect(try fixture.reader.resume(session: other).prefillRate == 0)
        #expect(code { try fixture.store.setPrefillRate(1, modelID: 99) } == .unknownModel)
        // A worker that computes in no time need not load anything.
        try fixture.store.setPrefillRate(.max, modelID: model.id)
        #expect(try fixture.reader.resume(session: session).cheapestOffset == 0)
        for _ in 0..<200 { _ = try rate(.max) }
        #expect(try fixture.reader.savings(SavingsQuery()).rows[0].prefillRate == .max)
    }

    @Test func answersByTheHour() throws {
        let fixture = try fixture()
        let session = try fixture.session("a", model: Self.model)
        for hour in 0..<UInt64(5) {
            set(Self.start + hour * 3_600 + 60 * hour)
            try put(fixture, session, hour)
            if hour == 2 { fixture.store.recordSavings() }
        }
        let all = try fixture.reader.savings(SavingsQuery())
        #expect(all.from == Self.start && all.to == Self.start + 5 * 3_600)
        let some = try fixture.reader.savings(
            SavingsQuery(from: Self.start + 3_600 + 59, to: Self.start + 3 * 3_600 + 1))
        #expect(some.from == Self.start + 3_600 && some.to == Self.start + 4 * 3_600)
        #expect(some.rows[0].tally.storedTokens == 3)
        #expect(try stored(fixture, SavingsQuery(from: Self.start + 4 * 3_600)) == 1)
        #expect(try stored(fixture, SavingsQuery(to: Self.start + 3_600)) == 1)
        #expect(try stored(fixture, SavingsQuery(from: .max)) == 0)
        #expect(code { _ = try stored(fixture, SavingsQuery(from: 7, to: 7)) } == .invalidArgument)
        #expect(code { _ = try stored(fixture, SavingsQuery(modelID: 9)) } == .unknownModel)
    }

    @Test func forgetsTheOldestHours() throws {
        let fixture = try fixture { $0.savingsBuckets = 8 }
        let session = try fixture.session("a", model: Self.model)
        #expect(try fixture.reader.resume(session: session, prefillRate: 7).offset == 0)
        for hour in 0..<UInt64(20) {
            set(Self.start + hour * 3_600)
            try put(fixture, session, hour)
            fixture.store.recordSavings()
        }
        var all = try fixture.reader.savings(SavingsQuery())
        #expect(all.from == Self.start + 12 * 3_600 && all.rows[0].tally.storedTokens == 8)
        #expect(all.rows[0].prefillRate == 7)
        // A sum that is there already takes no room.
        try put(fixture, session, 20)
        fixture.store.recordSavings()
        #expect(try stored(fixture) == 9)
        set(Self.start + 401 * Self.day)
        try put(fixture, session, 21)
        try fixture.reopen()
        all = try fixture.reader.savings(SavingsQuery())
        #expect(all.from == Self.start + 401 * Self.day && all.rows[0].tally.storedTokens == 1)
    }

    @Test func survivesAClockThatJumps() throws {
        let fixture = try fixture()
        let session = try fixture.session("a", model: Self.model)
        for (offset, seconds) in [Self.start, 0, 3_599, UInt64.max / 1_000_000_000, 60].enumerated() {
            set(seconds)
            try put(fixture, session, UInt64(offset))
            #expect(try fixture.reader.savings(session: session).rows[0].tally.storedTokens == UInt64(offset) + 1)
        }
        #expect(try stored(fixture) == 5)
        set(3_600)
        fixture.store.recordSavings()
        #expect(try stored(fixture) == 5)
        set(.max)
        #expect(try fixture.reader.savings(session: session).to == .max)
        try fixture.reopen()
    }

    /// A store that is full keeps the sums in memory and writes them when it has room.
    @Test func waitsForRoom() throws {
        let fixture = try fixture(capBytes: 6 << 20)
        let session = try fixture.session("a", model: Self.model)
        var end: UInt64 = 0
        for tokens in [UInt32(1_024), 1] {
            while code({ try put(fixture, session, end, tokens: tokens) }) == nil { end += UInt64(tokens) }
        }
        #expect(code { try put(fixture, session, end) } == .full)
        fixture.store.recordSavings()
        #expect(try stored(fixture) == end)
        try fixture.store.drop(session: session)
        // The writer frees what was dropped before it calls the store full.
        fixture.store.recordSavings()
        try fixture.store.setPrefillRate(1, modelID: fixture.store.declare(Self.model).id)
        try fixture.reopen()
        #expect(try stored(fixture) == end)
    }

    @Test func forgetsTheSessionsThatWereUsedLongAgo() throws {
        let fixture = try fixture { $0.sessionCounts = 4 }
        let sessions = try (0..<20).map { try fixture.session("s\($0)", model: Self.model) }
        for (index, session) in sessions.enumerated() {
            set(Self.start + UInt64(index))
            try put(fixture, session, 0, tokens: 2)
            // The first is used all along.
            try put(fixture, sessions[0], UInt64(2 * index + 2), tokens: 2)
        }
        let first = try fixture.reader.savings(session: sessions[0])
        #expect(first.rows[0].tally.storedTokens == 42 && first.from == Self.start)
        for session in sessions.suffix(3) {
            #expect(try fixture.reader.savings(session: session).rows[0].tally.storedTokens == 2)
        }
        let forgotten = try fixture.reader.savings(session: sessions[1])
        #expect(forgotten.rows.isEmpty && forgotten.from > Self.start)
    }

    @Test func showsNobodyWhatOthersHave() throws {
        let fixture = try fixture()
        let session = try fixture.session("a", model: Self.model)
        try put(fixture, session, 0)
        let other = try fixture.session("a", model: Self.model, namespace: "other")
        try put(fixture, other, 0, tokens: 3)
        let stranger = StoreReader(fixture.store, userID: 4_321)
        #expect(try stranger.savings(SavingsQuery()).rows.isEmpty)
        #expect(try stranger.savings(SavingsQuery(namespace: "test")).rows.isEmpty)
        #expect(code { _ = try stranger.savings(session: session) } == .unknownSession)
        let rows = try fixture.reader.savings(SavingsQuery()).rows
        #expect(rows.map(\.namespace.name) == ["test", "other"] && rows.map(\.tally.storedTokens) == [1, 3])
        #expect(try stored(fixture, SavingsQuery(namespace: "other")) == 3)
        #expect(try stored(fixture, SavingsQuery(namespace: "none")) == 0)
        #expect(try fixture.reader.savings(SavingsQuery(after: 1 << 32 | 1)).rows.map(\.namespace.name) == ["other"])
    }
}
