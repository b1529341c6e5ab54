import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// The store at its cap: what goes, what stays, and that what stays can be restored.
@Suite struct SweepTests {
    private static let tokens: UInt32 = 256
    private func bytes(_ seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return generator.bytes(StoreFixture.hybrid.components[0].byteCount(tokens: Self.tokens))
    }

    /// Puts `count` chunks of attention one after another; returns how many were taken.
    @discardableResult
    private func fill(
        _ fixture: StoreFixture, _ session: UInt64, chunks: Range<UInt64>
    ) throws -> Int {
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

    private func statistic(_ fixture: StoreFixture, _ name: String) -> UInt64 {
        fixture.store.statistics().first { $0.name == name }?.value ?? 0
    }

    @Test func evictsWhatIsColdAndNeverPassesTheCap() throws {
        let cap = 8 << 20
        let fixture = try StoreFixture(capBytes: cap)
        var sessions: [UInt64] = []
        for number in 0..<40 {
            let session = try fixture.session("s\(number)")
            sessions.append(session)
            // Each of about 0.65 MiB: 26 MiB in all.
            #expect(try fill(fixture, session, chunks: 0..<10) == 10)
            #expect(statistic(fixture, "file_bytes") <= UInt64(cap))
        }
        #expect(statistic(fixture, "evicted_cold_chunks") > 200)
        var whole = 0
        for session in sessions {
            let plan = try fixture.reader.resume(session: session, atMost: .max)
            let chunks = try fixture.reader.chunks(session: session, from: ChunkPosition())
            // Tails went before heads: all that is left is a prefix, byte for byte.
            #expect(plan.reaches[0].offset == UInt64(chunks.count) * UInt64(Self.tokens))
            for index in chunks.indices {
                let offset = UInt64(index) * UInt64(Self.tokens)
                let found = try fixture.get(session, component: 0, offset: offset)
                #expect(found == bytes(session << 20 | UInt64(index)))
            }
            if chunks.count == 10 { whole += 1 }
        }
        #expect(whole >= 5, "\(whole) sessions are whole")
        // The last is whole, and the first is gone.
        #expect(try fixture.reader.chunks(session: sessions.last!, from: ChunkPosition()).count == 10)
        #expect(try fixture.reader.chunks(session: sessions[0], from: ChunkPosition()).isEmpty)
        #expect(try fixture.reader.explain(session: sessions[0], atMost: .max).tracks[0].cause != .none)
    }

    @Test func evictsNothingOfTheSessionThatGrows() throws {
        let fixture = try StoreFixture(capBytes: 6 << 20)
        let session = try fixture.session("a")
        let stored = try fill(fixture, session, chunks: 0..<120)
        #expect(stored < 100)
        // What was acknowledged is there: a put that finds no room never costs the same session's past.
        #expect(try fixture.reader.chunks(session: session, from: ChunkPosition()).count == stored)
        // Another session gets its room from it, from the tail.
        let other = try fixture.session("b")
        #expect(try fill(fixture, other, chunks: 0..<20) == 20)
        let left = try fixture.reader.chunks(session: session, from: ChunkPosition())
        #expect(left.count < stored && left.count > stored / 4)
        #expect(left.enumerated().allSatisfy { $1.offset == UInt64($0) * UInt64(Self.tokens) })
    }

    @Test func keepsWhatIsUnderLease() throws {
        let fixture = try StoreFixture(capBytes: 6 << 20)
        let session = try fixture.session("held")
        #expect(try fill(fixture, session, chunks: 0..<20) == 20)
        let holder = StoreReader(fixture.store, userID: 0)
        let plan = try holder.resume(session: session, atMost: .max)
        #expect(try holder.explain(session: session, atMost: .max).tracks[0].reach == 20 * UInt64(Self.tokens))
        _ = plan
        for number in 0..<20 { try fill(fixture, try fixture.session("s\(number)"), chunks: 0..<10) }
        withExtendedLifetime(holder) {}
    }

    @Test func survivesReopeningAfterSweeps() throws {
        let fixture = try StoreFixture(capBytes: 8 << 20)
        var sessions: [UInt64] = []
        for number in 0..<30 {
            let session = try fixture.session("s\(number)")
            sessions.append(session)
            try fill(fixture, session, chunks: 0..<8)
            // The first session is wanted all the time, and so is rewritten again and again.
            for index in 0..<8 {
                let found = try fixture.get(sessions[0], component: 0, offset: UInt64(index) * UInt64(Self.tokens))
                #expect(found == bytes(sessions[0] << 20 | UInt64(index)))
            }
            _ = try fixture.reader.resume(session: sessions[0], atMost: .max)
        }
        #expect(statistic(fixture, "moved_bytes") > 0)
        try fixture.reopen()
        for index in 0..<8 {
            let found = try fixture.get(sessions[0], component: 0, offset: UInt64(index) * UInt64(Self.tokens))
            #expect(found == bytes(sessions[0] << 20 | UInt64(index)))
        }
        #expect(try fixture.reader.verify(session: sessions[0], from: ChunkPosition()).damaged.isEmpty)
    }
}
