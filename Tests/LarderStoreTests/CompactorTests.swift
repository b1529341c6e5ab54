import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// What goes for another reason than that it is cold: expired, above a quota, useless; and what is not let in.
@Suite struct CompactorTests {
    private static let tokens: UInt32 = 256

    private func bytes(_ seed: UInt64, component: Int = 0, tokens: UInt32 = tokens) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return generator.bytes(StoreFixture.hybrid.components[component].byteCount(tokens: tokens))
    }

    /// Puts chunks of attention one after another, of 64 KiB each; returns how many were taken.
    @discardableResult
    private func fill(_ fixture: StoreFixture, _ session: UInt64, chunks: Range<UInt64>) throws -> Int {
        var stored = 0
        for index in chunks {
            let refusal = code {
                try fixture.put(
                    session, component: 0, offset: index * UInt64(Self.tokens), tokens: Self.tokens,
                    bytes(session << 20 | index))
            }
            if refusal == nil { stored += 1 } else { #expect(refusal == .full) }
        }
        return stored
    }

    private func chunks(_ fixture: StoreFixture, _ session: UInt64) throws -> Int {
        try fixture.reader.chunks(session: session, from: ChunkPosition()).count
    }

    private func statistic(_ fixture: StoreFixture, _ name: String) -> UInt64 {
        fixture.store.statistics().first { $0.name == name }?.value ?? 0
    }

    private func set(_ fixture: StoreFixture, _ namespace: String, _ body: (inout NamespaceChange) -> Void) throws {
        var change = NamespaceChange()
        body(&change)
        try fixture.store.configure(namespace: namespace, change, by: Principal(userID: 0))
    }

    // MARK: time to live

    @Test func expiresWhatNobodyUses() throws {
        let fixture = try StoreFixture()
        let now = Clock.wallSeconds()
        let (short, long, forever) = (
            try fixture.session("short"), try fixture.session("long"), try fixture.session("forever")
        )
        for session in [short, long, forever] { try fill(fixture, session, chunks: 0..<4) }
        try set(fixture, "test") { $0.ttlSeconds = 3_600 }
        try fixture.store.configure(session: long, ttlSeconds: 86_400)
        try fixture.store.configure(session: forever, ttlSeconds: NamespacePolicy.never)
        // A clock that jumps back lets nothing expire.
        for time in [0, now - 100_000, now + 3_500] { fixture.store.expire(at: time) }
        #expect(try chunks(fixture, short) == 4)
        fixture.store.expire(at: now + 3_700)
        #expect(try chunks(fixture, short) == 0)
        #expect(try chunks(fixture, long) == 4)
        let explanation = try fixture.reader.explain(session: short, atMost: .max)
        #expect(explanation.tracks[0].cause == .evicted && explanation.tracks[0].eviction?.rule == .expired)
        fixture.store.expire(at: now + 90_000)
        #expect(try chunks(fixture, long) == 0)
        fixture.store.expire(at: now + 400 * 86_400)
        #expect(try chunks(fixture, forever) == 4)
        // What expired long ago and holds nothing is forgotten, and its name is free.
        #expect(code { _ = try chunks(fixture, short) } == .unknownSession)
        #expect(try fixture.session("short") != short)
        #expect(fixture.blobs == 4)
    }

    @Test func sparesWhatOthersSeeOfAnExpiredSession() throws {
        let fixture = try StoreFixture()
        let parent = try fixture.session("parent")
        try fill(fixture, parent, chunks: 0..<6)
        let child = try fixture.store.fork(
            session: parent, offset: 3 * UInt64(Self.tokens), name: "child", reader: fixture.reader)
        try fixture.store.configure(session: parent, ttlSeconds: 10)
        try fixture.store.configure(session: child, ttlSeconds: NamespacePolicy.never)
        fixture.store.expire(at: Clock.wallSeconds() + 100)
        try fixture.settle()
        #expect(try chunks(fixture, child) == 3)
        for index in 0..<3 {
            let found = try fixture.get(child, component: 0, offset: UInt64(index) * UInt64(Self.tokens))
            #expect(found == bytes(parent << 20 | UInt64(index)))
        }
        #expect(fixture.blobs == 3)
    }

    // MARK: quotas

    @Test func aNamespaceAboveItsMaximumLosesItsOwn() throws {
        let fixture = try StoreFixture(capBytes: 32 << 20)
        let other = try fixture.session("other", namespace: "quiet")
        try fill(fixture, other, chunks: 0..<20)
        _ = try fixture.session("first", namespace: "loud")
        try set(fixture, "loud") { $0.maxBytes = 2 << 20 }
        var last: UInt64 = 0
        for number in 0..<20 {
            last = try fixture.session("s\(number)", namespace: "loud")
            #expect(try fill(fixture, last, chunks: 0..<8) == 8)
        }
        #expect(try chunks(fixture, last) == 8)
        #expect(try chunks(fixture, other) == 20)
        #expect(statistic(fixture, "evicted_quota_chunks") > 100)
        // A session of its own that fills the quota is told, and loses nothing.
        let big = try fixture.session("big", namespace: "loud")
        let stored = try fill(fixture, big, chunks: 0..<60)
        #expect(stored > 20 && stored < 34, "\(stored)")
        #expect(try chunks(fixture, big) == stored)
        // A chunk larger than the quota is refused, and nothing goes for it.
        try set(fixture, "loud") { $0.maxBytes = 20_000 }
        #expect(try fill(fixture, try fixture.session("none", namespace: "loud"), chunks: 0..<1) == 0)
    }

    @Test func whatIsReservedStays() throws {
        let fixture = try StoreFixture(capBytes: 8 << 20)
        let quiet = try fixture.session("quiet", namespace: "quiet")
        try fill(fixture, quiet, chunks: 0..<20)
        try set(fixture, "quiet") { $0.minBytes = 4 << 20 }
        for number in 0..<60 { try fill(fixture, try fixture.session("s\(number)"), chunks: 0..<8) }
        #expect(try chunks(fixture, quiet) == 20)
        for index in 0..<20 {
            let found = try fixture.get(quiet, component: 0, offset: UInt64(index) * UInt64(Self.tokens))
            #expect(found == bytes(quiet << 20 | UInt64(index)))
        }
    }

    @Test func aFloodTakesFromItselfFirst() throws {
        let fixture = try StoreFixture(capBytes: 16 << 20)
        let quiet = try fixture.session("quiet", namespace: "quiet")
        try fill(fixture, quiet, chunks: 0..<24)
        // Ten times the store, by another.
        for number in 0..<240 { try fill(fixture, try fixture.session("s\(number)"), chunks: 0..<10) }
        #expect(try chunks(fixture, quiet) == 24)
        #expect(statistic(fixture, "evicted_cold_chunks") > 2_000)
    }

    // MARK: admission

    @Test func admitsOnTheSecondTouch() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        try set(fixture, "test") { $0.admission = .secondTouch }
        #expect(code { try fixture.put(session, component: 0, offset: 0, tokens: Self.tokens, bytes(1)) } == .declined)
        #expect(try chunks(fixture, session) == 0)
        try fixture.put(session, component: 0, offset: 0, tokens: Self.tokens, bytes(1))
        #expect(try fixture.get(session, component: 0, offset: 0) == bytes(1))
        try set(fixture, "test") { $0.admission = .everything }
        try fixture.put(session, component: 0, offset: UInt64(Self.tokens), tokens: Self.tokens, bytes(2))
    }

    // MARK: uselessness

    /// Sliding chunks behind all windows and states that are neither last nor at a fork go before anything that is of use.
    @Test func whatNoResumePointCanUseGoesFirst() throws {
        let fixture = try StoreFixture(capBytes: 8 << 20)
        let session = try fixture.session("hybrid")
        let step: UInt64 = 64
        for index in 0..<16 as Range<UInt64> {
            try fixture.put(session, component: 0, offset: index * step, tokens: 64, bytes(index, tokens: 64))
            try fixture.put(
                session, component: 1, offset: index * step, tokens: 64, bytes(index, component: 1, tokens: 64))
            try fixture.put(
                session, component: 2, offset: (index + 1) * step, tokens: 0, bytes(index, component: 2, tokens: 0))
        }
        let end = 16 * step
        let branch = try fixture.store.fork(session: session, offset: 5 * step, name: "branch", reader: fixture.reader)
        // The session is wanted all the while that others fill the store; what it cannot use goes all the same.
        for number in 0..<60 {
            try fill(fixture, try fixture.session("s\(number)"), chunks: 0..<8)
            #expect(try fixture.reader.resume(session: session, atMost: .max).offset == end)
            #expect(try fixture.reader.resume(session: branch, atMost: .max).offset == 5 * step)
        }
        let left = try fixture.reader.chunks(session: session, from: ChunkPosition())
        #expect(left.filter { $0.component == 0 }.count == 16)
        #expect(left.filter { $0.component == 1 }.map(\.offset) == [4 * step, 15 * step])
        #expect(left.filter { $0.component == 2 }.map(\.offset) == [5 * step, end])
        #expect(statistic(fixture, "evicted_useless_chunks") >= 10)
    }

    // MARK: heat over a restart

    /// What was wanted often is known after a restart, and a damaged memory of it is no fault.
    @Test(arguments: [false, true]) func remembersHeatOverARestart(isDamaged: Bool) throws {
        let fixture = try StoreFixture(capBytes: 8 << 20)
        let hot = try fixture.session("hot")
        try fill(fixture, hot, chunks: 0..<10)
        for _ in 0..<12 {
            for index in 0..<10 { _ = try fixture.get(hot, component: 0, offset: UInt64(index) * UInt64(Self.tokens)) }
            // A turn ends.
            _ = try fixture.reader.resume(session: hot, atMost: .max)
        }
        let path = fixture.configuration.directory + "/shard-0/heat"
        try fixture.reopen {
            guard isDamaged else { return }
            var bytes = try FileSystem.read(path, limit: 1 << 20)
            bytes[bytes.count / 2] ^= 1
            try FileSystem.write(bytes, to: path)
        }
        for number in 0..<9 { try fill(fixture, try fixture.session("s\(number)"), chunks: 0..<10) }
        // The store holds as much as was put since, and more: who is not known as hot is the oldest, and goes.
        for number in 0..<3 { try fill(fixture, try fixture.session("t\(number)"), chunks: 0..<10) }
        #expect(try chunks(fixture, hot) == (isDamaged ? 0 : 10))
    }
}
