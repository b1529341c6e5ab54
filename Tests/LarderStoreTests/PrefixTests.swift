import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// Chunks that sessions of a namespace share by their content's key.
@Suite struct PrefixTests {
    private static let key = PrefixKey([UInt8](repeating: 0xA1, count: 32))!
    private static let other = PrefixKey([UInt8](repeating: 0xB2, count: 32))!

    private func bytes(_ seed: UInt8, tokens: UInt32 = 32) -> [UInt8] {
        var generator = SeededGenerator(seed: UInt64(seed))
        return generator.bytes(StoreFixture.hybrid.components[0].byteCount(tokens: tokens))
    }

    private func put(
        _ fixture: StoreFixture, _ session: UInt64, _ offset: UInt64, _ bytes: [UInt8]?, _ key: PrefixKey?,
        tokens: UInt32 = 32
    ) -> ErrorCode? {
        let outcome = Monitor<Store.PageOutResult?>(nil)
        let run = { (raw: UnsafeRawBufferPointer?) in
            let item = PageOutItem(
                session: session, rank: 0, component: 0, offset: offset, tokens: tokens, bytes: raw, prefixKey: key)
            fixture.store.pageOut([item], encoding: .auto, acknowledgement: .committed, reader: fixture.reader) {
                results in outcome.signal { $0 = results[0] }
            }
        }
        if let bytes { bytes.withUnsafeBytes { run($0) } } else { run(nil) }
        return code { _ = try outcome.wait { $0 }!.get() }
    }

    private func blobs(_ fixture: StoreFixture) throws -> UInt64 {
        try fixture.settle()
        return fixture.store.statistics().first { $0.name == "blobs" }!.value
    }

    @Test func storesEqualPrefixesOnceAndFreesThemWithTheLast() throws {
        let fixture = try StoreFixture()
        let one = try fixture.session("one")
        let two = try fixture.session("two")
        #expect(put(fixture, two, 0, nil, Self.key) == .miss)
        #expect(put(fixture, one, 0, bytes(1), Self.key) == nil)
        #expect(put(fixture, two, 0, bytes(1), Self.key) == nil)
        #expect(put(fixture, two, 64, nil, Self.key) == nil)
        // Again, at a place where it is already.
        #expect(put(fixture, two, 64, nil, Self.key) == nil && put(fixture, two, 0, bytes(1), nil) == nil)
        #expect(try blobs(fixture) == 1)
        for (session, offset) in [(one, UInt64(0)), (two, 0), (two, 64)] {
            #expect(try fixture.get(session, component: 0, offset: offset) == bytes(1))
        }
        try fixture.reopen()
        try fixture.store.drop(session: one)
        #expect(try blobs(fixture) == 1)
        try fixture.store.evict(session: two, component: 0, offset: 0, rule: .cold, reader: fixture.reader)
        #expect(try blobs(fixture) == 1)
        #expect(try fixture.get(two, component: 0, offset: 64) == bytes(1))
        try fixture.store.truncate(session: two, offset: 0)
        #expect(try blobs(fixture) == 0)
        #expect(put(fixture, two, 0, nil, Self.key) == .miss)
    }

    @Test func keepsCollisionsApart() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("s")
        #expect(put(fixture, session, 0, bytes(1), Self.key) == nil)
        #expect(put(fixture, session, 32, bytes(2), Self.key) == .conflict)
        #expect(put(fixture, session, 32, bytes(1, tokens: 16), Self.key, tokens: 16) == .conflict)
        #expect(put(fixture, session, 32, nil, Self.key, tokens: 16) == .conflict)
        #expect(put(fixture, session, 32, bytes(2), nil) == nil)
        #expect(put(fixture, session, 32, nil, Self.key) == .conflict)
        #expect(put(fixture, session, 32, nil, nil) == .malformed)
        #expect(try fixture.get(session, component: 0, offset: 0) == bytes(1))
        #expect(try fixture.get(session, component: 0, offset: 32) == bytes(2))
    }

    @Test func sharesNothingBetweenNamespacesModelsAndComponents() throws {
        let fixture = try StoreFixture()
        let mine = try fixture.session("s")
        let theirs = try fixture.session("s", namespace: "other")
        #expect(put(fixture, mine, 0, bytes(1), Self.key) == nil)
        #expect(put(fixture, theirs, 0, nil, Self.key) == .miss)
        #expect(put(fixture, theirs, 0, bytes(2), Self.key) == nil)
        var model = StoreFixture.hybrid
        model.weights = "others"
        let foreign = try fixture.session("t", model: model)
        #expect(put(fixture, foreign, 0, nil, Self.key) == .miss)
        let id = try fixture.store.declare(StoreFixture.hybrid).id
        func match(_ namespace: String, _ component: UInt16, _ keys: [PrefixKey]) throws -> Int {
            try fixture.reader.match(namespace: namespace, modelID: id, component: component, keys: keys)
        }
        #expect(try match("test", 0, [Self.key, Self.other]) == 1)
        #expect(try match("test", 0, [Self.other, Self.key]) == 0)
        #expect(try match("test", 1, [Self.key]) == 0 && match("nobody", 0, [Self.key]) == 0)
        #expect(try match("other", 0, [Self.key]) == 1 && match("test", 300, [Self.key]) == 0)
        try fixture.store.drop(session: mine)
        #expect(try blobs(fixture) == 1)
        #expect(try match("test", 0, [Self.key]) == 0)
        #expect(try fixture.get(theirs, component: 0, offset: 0) == bytes(2))
        let stranger = StoreReader(fixture.store, userID: 4_321)
        #expect(try stranger.match(namespace: "test", modelID: id, component: 0, keys: [Self.key]) == 0)
    }

    /// A key that another shard knows brings its bytes along.
    @Test func findsKeysInEveryShard() throws {
        let fixture = try StoreFixture(shards: 4)
        let sessions = try (0..<16).map { try fixture.session("s\($0)") }
        #expect(put(fixture, sessions[0], 0, bytes(1), Self.key) == nil)
        for session in sessions { #expect(put(fixture, session, 0, nil, Self.key) == nil) }
        for session in sessions { #expect(try fixture.get(session, component: 0, offset: 0) == bytes(1)) }
        let used = Set(sessions.map { $0 % 64 }).count
        #expect(try blobs(fixture) == UInt64(used) && used > 1)
        for session in sessions {
            #expect(try fixture.reader.verify(session: session, from: ChunkPosition()).damaged.isEmpty)
        }
        for session in sessions { try fixture.store.drop(session: session) }
        #expect(try blobs(fixture) == 0)
    }
}
