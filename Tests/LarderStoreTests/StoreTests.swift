import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

@Suite struct StoreTests {
    private func bytes(_ component: Int, tokens: UInt32, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return generator.bytes(StoreFixture.hybrid.components[component].byteCount(tokens: tokens))
    }

    @Test func keepsStateAcrossReopening() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        let chunk = bytes(0, tokens: 32, seed: 1)
        let state = bytes(2, tokens: 0, seed: 2)
        try fixture.put(session, component: 0, offset: 0, tokens: 32, chunk)
        try fixture.put(session, component: 2, offset: 32, tokens: 0, state)
        let id = fixture.store.id
        try fixture.reopen()
        #expect(fixture.store.id == id)
        #expect(try fixture.session("a") == session)
        #expect(try fixture.get(session, component: 0, offset: 0) == chunk)
        #expect(try fixture.get(session, component: 2, offset: 32) == state)
    }

    @Test func readsLayers() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        let chunk = bytes(0, tokens: 16, seed: 3)
        try fixture.put(session, component: 0, offset: 0, tokens: 16, chunk)
        #expect(
            try fixture.get(session, component: 0, offset: 0, firstLayer: 1, layers: 1)
                == Array(chunk[(chunk.count / 2)...]))
        #expect(
            code { _ = try fixture.get(session, component: 0, offset: 0, firstLayer: 1, layers: 2) } == .invalidArgument
        )
        #expect(code { _ = try fixture.get(session, component: 0, offset: 0, firstLayer: 2) } == .invalidArgument)
    }

    @Test func acceptsTheSameBytesAgainAndRefusesOthers() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        let chunk = bytes(0, tokens: 32, seed: 4)
        let stored = try fixture.put(session, component: 0, offset: 0, tokens: 32, chunk)
        #expect(try fixture.put(session, component: 0, offset: 0, tokens: 32, chunk, encoding: .raw) == stored)
        var other = chunk
        other[other.count - 1] ^= 1
        #expect(code { try fixture.put(session, component: 0, offset: 0, tokens: 32, other) } == .conflict)
        #expect(try fixture.get(session, component: 0, offset: 0) == chunk)
    }

    @Test func refusesOverlaps() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        try fixture.put(session, component: 0, offset: 32, tokens: 32, bytes(0, tokens: 32, seed: 5))
        for (offset, tokens) in [(0, 33), (33, 1), (63, 2), (16, 64), (32, 31), (32, 33)] as [(UInt64, UInt32)] {
            #expect(
                code {
                    try fixture.put(
                        session, component: 0, offset: offset, tokens: tokens, bytes(0, tokens: tokens, seed: 6))
                } == .overlap)
        }
        try fixture.put(session, component: 0, offset: 0, tokens: 32, bytes(0, tokens: 32, seed: 7))
        try fixture.put(session, component: 0, offset: 64, tokens: 1, bytes(0, tokens: 1, seed: 8))
    }

    @Test func refusesWhatContradictsTheModel() throws {
        let fixture = try StoreFixture()
        var paged = StoreFixture.hybrid
        paged.pageTokens = 16
        let session = try fixture.session("a", model: paged)
        let chunk = bytes(0, tokens: 16, seed: 9)
        #expect(code { try fixture.put(session, component: 0, offset: 8, tokens: 16, chunk) } == .unaligned)
        #expect(code { try fixture.put(session, component: 0, offset: 0, tokens: 15, chunk) } == .wrongLength)
        #expect(code { try fixture.put(session, component: 0, offset: 0, tokens: 0, []) } == .invalidArgument)
        #expect(code { try fixture.put(session, component: 3, offset: 0, tokens: 16, chunk) } == .unknownComponent)
        #expect(code { try fixture.put(session, component: 2, offset: 0, tokens: 1, chunk) } == .invalidArgument)
        #expect(code { try fixture.put(session, component: 0, offset: 1 << 41, tokens: 16, chunk) } == .invalidArgument)
        #expect(code { try fixture.put(session + 64, component: 0, offset: 0, tokens: 16, chunk) } == .unknownSession)
        #expect(code { try fixture.put(session + 1, component: 0, offset: 0, tokens: 16, chunk) } == .unknownSession)
        #expect(code { _ = try fixture.get(session, component: 0, offset: 0) } == .miss)
    }

    @Test func namesTheFieldInWhichModelsDiffer() throws {
        let fixture = try StoreFixture()
        _ = try fixture.session("a")
        var other = StoreFixture.hybrid
        other.components[1].window = 128
        do {
            _ = try fixture.session("a", model: other)
            Issue.record("another model was let in")
        } catch let error as LarderError {
            #expect(error.code == .modelMismatch)
            #expect(error.message.contains("sliding"))
        }
    }

    @Test func keepsNamespacesApart() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a", namespace: "mine")
        let model = try fixture.store.declare(StoreFixture.hybrid)
        #expect(
            code {
                _ = try fixture.store.openSession(
                    namespace: "mine", name: "a", modelID: model.id, create: true, by: Principal(userID: 1_001))
            } == .forbidden)
        let stranger = StoreReader(fixture.store, userID: 1_001)
        #expect(code { try stranger.requireAccess(session: session) } == .unknownSession)
        #expect(try stranger.sessions(namespace: "", after: 0).sessions.isEmpty)
        #expect(code { _ = try stranger.resume(session: session, atMost: .max) } == .unknownSession)
        #expect(try StoreReader(fixture.store, userID: 0).sessions(namespace: "mine", after: 0).sessions.count == 1)
    }

    @Test func listsNothingAfterTheLast() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        #expect(try fixture.reader.sessions(namespace: "", after: .max).sessions.isEmpty)
        #expect(try fixture.reader.sessions(namespace: "", after: session).sessions.isEmpty)
        let last = ChunkPosition(rank: .max, component: .max, offset: .max)
        #expect(try fixture.reader.chunks(session: session, from: last).isEmpty)
        #expect(try fixture.reader.verify(session: session, from: last).checked == 0)
    }

    @Test func truncatesWholeChunks() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        for start in stride(from: UInt64(0), to: 128, by: 32) {
            try fixture.put(session, component: 0, offset: start, tokens: 32, bytes(0, tokens: 32, seed: start))
            try fixture.put(session, component: 2, offset: start + 32, tokens: 0, bytes(2, tokens: 0, seed: start))
        }
        try fixture.store.truncate(session: session, offset: 65)
        #expect(try fixture.reader.chunks(session: session, from: ChunkPosition()).map(\.offset) == [0, 32, 32, 64])
        #expect(try fixture.reader.resume(session: session, atMost: .max).reaches.map(\.offset) == [64, 0, 64])
        try fixture.settle()
        #expect(try fixture.reader.sessions(namespace: "test", after: 0).sessions[0].totals.chunks == 4)
        try fixture.put(session, component: 0, offset: 64, tokens: 32, bytes(0, tokens: 32, seed: 99))
        #expect(try fixture.get(session, component: 0, offset: 64) == bytes(0, tokens: 32, seed: 99))
    }

    @Test func dropsAtOnceAndFreesLater() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        for start in 0..<UInt64(200) {
            try fixture.put(
                session, component: 0, offset: start, tokens: 1, bytes(0, tokens: 1, seed: start),
                acknowledgement: .accepted)
        }
        try fixture.store.drop(session: session)
        #expect(code { _ = try fixture.get(session, component: 0, offset: 0) } == .unknownSession)
        #expect(code { try fixture.store.drop(session: session) } == .unknownSession)
        let again = try fixture.session("a")
        #expect(again != session)
        #expect(code { _ = try fixture.get(again, component: 0, offset: 0) } == .miss)
        for _ in 0..<1_000 where fixture.blobs > 0 { Clock.sleep(milliseconds: 10) }
        #expect(fixture.blobs == 0)
    }

    @Test func answersFullAndStaysUsable() throws {
        let fixture = try StoreFixture(capBytes: 6 << 20)
        let session = try fixture.session("a")
        var stored: [UInt64] = []
        var refusal: ErrorCode?
        for index in 0..<UInt64(2_000) where refusal == nil {
            refusal = code {
                try fixture.put(
                    session, component: 0, offset: index * 256, tokens: 256, bytes(0, tokens: 256, seed: index))
            }
            if refusal == nil { stored.append(index) }
        }
        #expect(refusal == .full)
        #expect(stored.count > 50)
        for index in stored {
            #expect(try fixture.get(session, component: 0, offset: index * 256) == bytes(0, tokens: 256, seed: index))
        }
        #expect(fixture.fileBytes <= 6 << 20)
        // What was dropped makes room again, at once. Not for all of it: free pages of so small a map do not all lie side by
        // side, and nothing else is there to go.
        try fixture.store.drop(session: session)
        let next = try fixture.session("b")
        for index in 0..<UInt64(stored.count / 2) {
            try fixture.put(
                next, component: 0, offset: index * 256, tokens: 256, bytes(0, tokens: 256, seed: index + 7))
        }
        #expect(fixture.fileBytes <= 6 << 20)
    }

    @Test func refusesAStoreInUse() throws {
        let fixture = try StoreFixture()
        do {
            _ = try Store(fixture.configuration, log: StoreFixture.silent)
            Issue.record("the store was opened twice")
        } catch {
            #expect(error.code == .storeUnusable)
            #expect(error.message.contains("\(Process.identifier)"))
        }
    }

    @Test func boundsItsConfiguration() throws {
        let directory = try TemporaryDirectory()
        for configuration in [
            StoreConfiguration(directory: directory.path, capBytes: 1 << 20),
            StoreConfiguration(directory: directory.path, capBytes: 1 << 30, shards: 0),
            StoreConfiguration(directory: directory.path, capBytes: 1 << 30, shards: 65),
            StoreConfiguration(directory: directory.path, capBytes: 1 << 30, queueBytes: 0),
        ] {
            #expect(code { _ = try Store(configuration, log: StoreFixture.silent) } == .invalidArgument)
        }
        #expect(
            code {
                _ = try Store(
                    StoreConfiguration(directory: "/proc/larder", capBytes: 64 << 20), log: StoreFixture.silent)
            } == .storage)
    }

    @Test func spreadsSessionsOverShards() throws {
        let fixture = try StoreFixture(capBytes: 128 << 20, shards: 3)
        var sessions: [UInt64: [UInt8]] = [:]
        for index in 0..<UInt64(30) {
            let session = try fixture.session("s\(index)")
            sessions[session] = bytes(0, tokens: 4, seed: index)
            try fixture.put(session, component: 0, offset: 0, tokens: 4, sessions[session]!)
        }
        #expect(Set(sessions.keys.map { $0 % 64 }) == [0, 1, 2])
        try fixture.reopen()
        let listed = try fixture.reader.sessions(namespace: "test", after: 0).sessions.map(\.id)
        #expect(listed == sessions.keys.sorted())
        for (session, chunk) in sessions { #expect(try fixture.get(session, component: 0, offset: 0) == chunk) }
    }
}

extension StoreFixture {
    private func statistic(_ name: String) -> UInt64 { store.statistics().first { $0.name == name }!.value }
    var blobs: UInt64 { statistic("blobs") }
    var fileBytes: UInt64 { statistic("file_bytes") }
}
