import LarderClient
import LarderModel
import LarderSampleState
import LarderTestSupport
import Testing

/// Real state of a model whose sliding layers keep only their window, forked and truncated.
@Suite struct SlidingWindowTests {
    private static let directories = [Repository.sampleDirectory] + (Repository.fullStateDirectory.map { [$0] } ?? [])
    private static let chunkTokens = 64

    @Test(arguments: directories) func resumesWhereTheWindowIsWhole(directory: String) throws {
        let state = try SampleState(directory: directory)
        #expect(state.tokens == 1_599 && state.firstTokens == [0, 1_087])
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = state.pieces(chunkTokens: Self.chunkTokens)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        try checkWhole(client, session, pieces)
        let child = try client.fork(session: session, offset: 1_599, name: "child")
        try checkWhole(client, child, pieces)

        // One token earlier the window would begin at 1,086, which the engine did not keep.
        for bound in [UInt64(1_598), 1_536, 1_087, 1] {
            let earlier = try client.resume(session: session, atMost: bound)
            #expect(earlier.offset == 0 && earlier.chunks.isEmpty)
        }

        // Inside the last chunk: it goes whole, and with it the window. Attention reaches as far as it is stored.
        try client.truncate(session: session, offset: 1_598)
        var resume = try client.resume(session: session)
        #expect(resume.offset == 0 && resume.chunks.isEmpty)
        #expect(resume.reaches.map(\.offset) == [1_536, 0])
        try checkWhole(client, child, pieces)
        let inside = try client.fork(session: child, offset: 1_598, name: "inside")
        #expect(try client.resume(session: inside).reaches.map(\.offset) == [1_536, 0])

        // A user who computes the prefix anew puts what is missing of the window, and can go on: at 1,536 it begins at
        // 1,024. What attention holds already is put again at no cost.
        let missing = standIn(state, 1_024..<1_087)
        let old = standIn(state, 960..<1_024)
        let global = state.piece(component: 0, tokens: 0..<64)
        for result in try client.put([global, missing, old], session: session) { _ = try result.get() }
        resume = try client.resume(session: session)
        #expect(resume.offset == 1_536)
        #expect(resume.reaches.map(\.offset) == [1_536, 1_536])
        // Of the sliding layers, what the window needs and no more; of the global ones, everything.
        let window = resume.chunks.filter { $0.name.component == 1 }
        let offsets = [1_024, 1_087] + stride(from: 1_088, to: 1_536, by: 64)
        #expect(window.map(\.name.offset) == offsets.map { UInt64($0) })
        #expect(resume.chunks.count - window.count == 1_536 / Self.chunkTokens)
        #expect(try client.get(missing, session: session) == missing.bytes)
        // With one chunk more it can be restored anywhere from 1,472 on: the window begins at 960 or later.
        #expect(try client.resume(session: session, atMost: 1_500).offset == 1_500)
        #expect(try client.resume(session: session, atMost: 1_471).offset == 0)
        #expect(try client.resume(session: child, atMost: 1_536).offset == 0)
        try checkWhole(client, child, pieces)
    }

    private func checkWhole(_ client: Client, _ session: UInt64, _ pieces: [SampleState.Piece]) throws {
        let resume = try client.resume(session: session)
        #expect(resume.offset == 1_599)
        #expect(resume.reaches.map(\.offset) == [1_599, 1_599])
        let sliding = resume.chunks.filter { $0.name.component == 1 }
        #expect(sliding.first?.name.offset == 1_087)
        #expect(sliding.allSatisfy { $0.name.offset + UInt64($0.tokens) > 1_599 - UInt64(SampleState.window) })
        #expect(resume.chunks.count == pieces.count)
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
    }

    /// Sliding state of tokens that the engine did not keep: the right size, bytes of later tokens.
    private func standIn(_ state: SampleState, _ tokens: Range<Int>) -> SampleState.Piece {
        let piece = state.piece(component: 1, tokens: tokens.lowerBound + 128..<tokens.upperBound + 128)
        return SampleState.Piece(component: 1, offset: tokens.lowerBound, tokens: tokens.count, bytes: piece.bytes)
    }
}
