import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

@Suite struct SavingsTests {
    private static let components = StoreFixture.hybrid.components

    /// Bytes that no encoding makes much smaller.
    private static func bytes(_ component: UInt16, tokens: UInt32, seed: UInt64 = 1) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return generator.bytes(components[Int(component)].byteCount(tokens: tokens))
    }

    @discardableResult
    private func put(
        _ fixture: StoreFixture, _ session: UInt64, _ component: UInt16, _ offset: UInt64, _ tokens: UInt32
    ) throws -> UInt64 {
        UInt64(
            try fixture.put(
                session, component: component, offset: offset, tokens: tokens, Self.bytes(component, tokens: tokens)))
    }

    /// The sums of all that the fixture's user may see.
    private func total(_ fixture: StoreFixture, _ query: SavingsQuery = SavingsQuery()) throws -> SavingsTally {
        try fixture.reader.savings(query).rows.reduce(into: SavingsTally()) { $0 += $1.tally }
    }

    @Test func countsATokenOnceWhateverKeepsStateOfIt() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        #expect(try fixture.reader.savings(SavingsQuery()).rows.isEmpty)
        var expected = SavingsTally()
        for (component, tokens) in [(UInt16(0), UInt32(64)), (1, 64), (2, 0)] {
            let offset: UInt64 = component == 2 ? 64 : 0
            expected.storedBytesOut += try put(fixture, session, component, offset, tokens)
            expected.rawBytesOut += UInt64(Self.components[Int(component)].byteCount(tokens: tokens))
        }
        expected.storedTokens = 64
        #expect(try total(fixture) == expected)
        // The same again stores nothing.
        try put(fixture, session, 0, 0, 64)
        #expect(try total(fixture) == expected)

        func get(_ component: UInt16, layers: Range<UInt32> = 0..<0) throws {
            let read = try fixture.get(
                session, component: component, offset: component == 2 ? 64 : 0, firstLayer: layers.lowerBound,
                layers: UInt32(layers.count))
            expected.rawBytesIn += UInt64(read.count)
        }
        #expect(try fixture.reader.resume(session: session).offset == 64)
        for component in 0..<UInt16(3) { try get(component) }
        var found = try total(fixture)
        #expect(found.restoredTokens == 64 && found.notRecomputedTokens == 64)
        #expect(found.storedBytesIn > 0 && found.storedBytesIn < found.storedBytesOut)
        // Paged in once more, it is restored once more, but nothing more is saved.
        try get(0)
        try get(0, layers: 1..<2)
        try get(0, layers: 0..<1)
        #expect(throws: LarderError.self) { try fixture.get(session, component: 0, offset: 32) }
        found = try total(fixture)
        #expect(found.restoredTokens == 192 && found.notRecomputedTokens == 64)
        #expect(found.rawBytesIn == expected.rawBytesIn)
        // After another resume it is saved again.
        #expect(try fixture.reader.resume(session: session, atMost: 64).offset == 64)
        try get(0)
        #expect(try fixture.reader.savings(session: session).rows[0].tally == total(fixture))
        #expect(try total(fixture).notRecomputedTokens == 128)
    }

    @Test func savesNothingBeyondTheResumePoint() throws {
        let fixture = try StoreFixture()
        let model = ModelDeclaration(name: "plain", components: [Self.components[0]])
        let session = try fixture.session("a", model: model)
        try put(fixture, session, 0, 0, 64)
        try put(fixture, session, 0, 64, 64)
        #expect(try fixture.reader.resume(session: session, atMost: 40).offset == 40)
        for offset in [UInt64(0), 64] { _ = try fixture.get(session, component: 0, offset: offset) }
        let found = try total(fixture)
        #expect(found.restoredTokens == 128 && found.notRecomputedTokens == 40)
        // Another connection that never resumed saves what it restores, each token once.
        let reader = StoreReader(fixture.store, userID: 1_000)
        for _ in 0..<3 { _ = try page(reader, session, [64]) }
        #expect(try total(fixture).notRecomputedTokens == 104)
    }

    private func page(_ reader: StoreReader, _ session: UInt64, _ offsets: [UInt64]) throws -> Int {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { memory.deallocate() }
        let items = offsets.map { PageInItem(session: session, rank: 0, component: 0, offset: $0) }
        let results = reader.pageIn(items) { found in
            found.map { .success(UnsafeMutableRawBufferPointer(rebasing: memory[..<$0.rawBytes])) }
        }
        return try results.reduce(0) { $0 + Int(try $1.get().tokens) }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func countsDistinctTokensInAnyOrder(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let fixture = try StoreFixture()
        let model = ModelDeclaration(name: "plain", components: [Self.components[0]])
        let session = try fixture.session("a", model: model)
        var chunks: [UInt64: UInt32] = [:]
        var end: UInt64 = 0
        for _ in 0..<60 {
            let tokens = UInt32.random(in: 1...9, using: &generator)
            try put(fixture, session, 0, end, tokens)
            chunks[end] = tokens
            end += UInt64(tokens)
        }
        var restored: UInt64 = 0
        for _ in 0..<4 {
            let bound = UInt64.random(in: 0...end, using: &generator)
            let before = try total(fixture).notRecomputedTokens
            #expect(try fixture.reader.resume(session: session, atMost: bound).offset == bound)
            var covered: Set<UInt64> = []
            for _ in 0..<80 {
                let (offset, tokens) = chunks.randomElement(using: &generator)!
                _ = try page(fixture.reader, session, [offset])
                restored += UInt64(tokens)
                covered.formUnion((offset..<offset + UInt64(tokens)).filter { $0 < bound })
            }
            let after = try total(fixture)
            #expect(after.notRecomputedTokens - before == UInt64(covered.count), "seed \(seed)")
            #expect(after.restoredTokens == restored, "seed \(seed)")
        }
    }

    @Test func countsAGroupAsOne() throws {
        let fixture = try StoreFixture()
        func model(_ rank: UInt32) -> ModelDeclaration {
            var model = ModelDeclaration(name: "group", components: [Self.components[0]])
            model.groupSize = 2
            model.rank = rank
            return model
        }
        // The second rank comes first.
        let second = try fixture.store.declare(model(1))
        let session = try fixture.session("a", model: model(1))
        #expect(try fixture.session("a", model: model(0)) == session)
        let first = try fixture.store.declare(model(0))
        let bytes = Self.bytes(0, tokens: 32)
        for rank in [UInt16(1), 0] {
            let outcome = Monitor<[Store.PageOutResult]?>(nil)
            bytes.withUnsafeBytes { raw in
                let item = PageOutItem(session: session, rank: rank, component: 0, offset: 0, tokens: 32, bytes: raw)
                fixture.store.pageOut([item], encoding: .auto, acknowledgement: .committed, reader: fixture.reader) {
                    results in outcome.signal { $0 = results }
                }
            }
            _ = try outcome.wait { $0 }![0].get()
        }
        let rows = try fixture.reader.savings(SavingsQuery()).rows
        #expect(rows.count == 1 && rows[0].modelID == first.id)
        #expect(rows[0].tally.storedTokens == 32 && rows[0].tally.rawBytesOut == UInt64(2 * bytes.count))
        #expect(try total(fixture, SavingsQuery(modelID: second.id)) == rows[0].tally)
        #expect(try fixture.reader.savings(session: session).rows[0].tally == rows[0].tally)
        // What a worker of any rank reports is the group's; so is what is set for either.
        #expect(try fixture.reader.resume(session: session, prefillRate: 800).offset == 32)
        #expect(try fixture.reader.savings(SavingsQuery()).rows[0].prefillRate == 800)
        try fixture.store.setPrefillRate(900, modelID: second.id)
        #expect(try fixture.reader.savings(SavingsQuery()).rows[0].prefillRate == 900)
    }

    @Test func countsBytesWhereThereAreNoTokens() throws {
        let fixture = try StoreFixture()
        let model = ModelDeclaration(name: "recurrent", components: [Self.components[2]])
        let session = try fixture.session("a", model: model)
        let state = Self.bytes(2, tokens: 0)
        try fixture.put(session, component: 0, offset: 512, tokens: 0, state)
        _ = try fixture.get(session, component: 0, offset: 512)
        let found = try total(fixture)
        #expect(found.storedTokens == 0 && found.restoredTokens == 0 && found.notRecomputedTokens == 0)
        #expect(found.rawBytesOut == UInt64(state.count) && found.rawBytesIn == found.rawBytesOut)
    }

    @Test func countsTheBytesOfASharedChunkOnce() throws {
        let fixture = try StoreFixture()
        let model = ModelDeclaration(name: "plain", components: [Self.components[0]])
        let bytes = Self.bytes(0, tokens: 32)
        let key = PrefixKey([UInt8](repeating: 7, count: 32))!
        var stored = 0
        for name in ["a", "b"] {
            let session = try fixture.session(name, model: model)
            let outcome = Monitor<[Store.PageOutResult]?>(nil)
            bytes.withUnsafeBytes { raw in
                let item = PageOutItem(
                    session: session, rank: 0, component: 0, offset: 0, tokens: 32, bytes: raw, prefixKey: key)
                fixture.store.pageOut([item], encoding: .auto, acknowledgement: .accepted, reader: fixture.reader) {
                    results in outcome.signal { $0 = results }
                }
            }
            _ = try outcome.wait { $0 }![0].get()
            try fixture.store.synchronise()
            stored = try fixture.reader.chunks(session: session, from: ChunkPosition())[0].storedBytes
        }
        let found = try total(fixture)
        #expect(found.storedTokens == 64 && found.rawBytesOut == UInt64(2 * bytes.count))
        #expect(found.storedBytesOut == UInt64(stored))
    }
}
