import LarderModel
import LarderSampleState
import LarderStore
import LarderTestSupport
import Testing

@Suite struct ResumeTests {
    private func put(_ fixture: StoreFixture, _ session: UInt64, component: UInt16, _ range: Range<UInt64>) throws {
        let tokens = UInt32(range.count)
        let count = StoreFixture.hybrid.components[Int(component)].byteCount(tokens: tokens)
        try fixture.put(
            session, component: component, offset: range.lowerBound, tokens: tokens, [UInt8](repeating: 1, count: count)
        )
    }

    private func putState(_ fixture: StoreFixture, _ session: UInt64, at offset: UInt64) throws {
        try fixture.put(
            session, component: 2, offset: offset, tokens: 0,
            [UInt8](repeating: 2, count: StoreFixture.hybrid.components[2].byteCount(tokens: 0)))
    }

    @Test func needsEveryComponent() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 0)
        for start in stride(from: UInt64(0), to: 256, by: 32) {
            try put(fixture, session, component: 0, start..<start + 32)
        }
        try put(fixture, session, component: 1, 100..<240)
        for offset in [UInt64(90), 150, 170, 250] { try putState(fixture, session, at: offset) }
        // At 250 the sliding window is not whole; at 170 it is (106 to 170).
        let plan = try fixture.reader.resume(session: session, atMost: .max)
        #expect(plan.offset == 170)
        #expect(plan.reaches.map(\.offset) == [256, 240, 250])
        #expect(plan.chunks.filter { $0.component == 0 }.map(\.offset) == [0, 32, 64, 96, 128, 160])
        #expect(plan.chunks.filter { $0.component == 1 }.map(\.offset) == [100])
        #expect(plan.chunks.filter { $0.component == 2 }.map(\.offset) == [170])
        // At 150 the window would begin at 86, which is not stored.
        #expect(try fixture.reader.resume(session: session, atMost: 169).offset == 0)
    }

    /// A state is valid at its offset only, and an offset without its tokens is no place to go on from.
    @Test func makesNoResumePointOfAStateBeyondTheTokens() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        try put(fixture, session, component: 0, 0..<64)
        try put(fixture, session, component: 1, 0..<96)
        for offset in [UInt64(65), 96, 128, 1 << 30] { try putState(fixture, session, at: offset) }
        for bound in [UInt64(64), 65, 96, 128, 1 << 30, .max] {
            let plan = try fixture.reader.resume(session: session, atMost: bound, prefillRate: 1)
            #expect(plan.offset == 0 && plan.chunks.isEmpty && plan.cheapestOffset == 0)
        }
        try putState(fixture, session, at: 48)
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 48)
        try putState(fixture, session, at: 64)
        let plan = try fixture.reader.resume(session: session, atMost: .max)
        #expect(plan.offset == 64 && plan.chunks.filter { $0.component == 2 }.map(\.offset) == [64])
        let fork = try fixture.store.fork(session: session, offset: 128, name: "b", reader: fixture.reader)
        #expect(try fixture.reader.resume(session: fork, atMost: .max).offset == 64)
        // With its tokens, the state counts.
        try put(fixture, session, component: 0, 64..<96)
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 96)
        #expect(try fixture.reader.resume(session: fork, atMost: .max).offset == 64)
    }

    @Test func stopsAtAHole() throws {
        let fixture = try StoreFixture()
        var model = StoreFixture.hybrid
        model.components = [model.components[0]]
        let session = try fixture.session("a", model: model)
        try put(fixture, session, component: 0, 0..<32)
        try put(fixture, session, component: 0, 64..<96)
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 32)
        #expect(try fixture.reader.resume(session: session, atMost: 20).offset == 20)
        try put(fixture, session, component: 0, 32..<64)
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 96)
    }

    @Test func waitsForEveryRank() throws {
        let fixture = try StoreFixture()
        var first = StoreFixture.hybrid
        first.components = [first.components[0]]
        first.groupSize = 2
        var second = first
        second.rank = 1
        let session = try fixture.session("a", model: first)
        try put(fixture, session, component: 0, 0..<32)
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 0)
        #expect(try fixture.session("a", model: second) == session)
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 0)
        var alone = first
        alone.groupSize = 1
        #expect(code { _ = try fixture.session("a", model: alone) } == .modelMismatch)
    }

    @Test func restoresWhatAnEngineSaved() throws {
        let state = try SampleState(directory: Repository.fullStateDirectory ?? Repository.sampleDirectory)
        let fixture = try StoreFixture()
        let session = try fixture.session("gpl", model: state.model)
        let pieces = state.pieces(chunkTokens: 256)
        for piece in pieces {
            try fixture.put(
                session, component: piece.component, offset: UInt64(piece.offset), tokens: UInt32(piece.tokens),
                piece.bytes)
        }
        let plan = try fixture.reader.resume(session: session, atMost: .max)
        #expect(plan.offset == 1_599)
        #expect(plan.chunks.count == pieces.count)
        // One token less is out of reach: the engine kept only the last window.
        #expect(try fixture.reader.resume(session: session, atMost: 1_598).offset == 0)
        for piece in pieces {
            #expect(try fixture.get(session, component: piece.component, offset: UInt64(piece.offset)) == piece.bytes)
        }
    }
}
