import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// Evictions, leases, and what is said of a miss.
@Suite struct ExplainTests {
    private func bytes(_ component: Int, _ tokens: UInt32) -> [UInt8] {
        [UInt8](repeating: 3, count: StoreFixture.hybrid.components[component].byteCount(tokens: tokens))
    }

    /// Attention and sliding over 0..<128 in chunks of 32, states at 64 and 128.
    private func session(_ fixture: StoreFixture) throws -> UInt64 {
        let session = try fixture.session("s")
        for start in stride(from: UInt64(0), to: 128, by: 32) {
            try fixture.put(session, component: 0, offset: start, tokens: 32, bytes(0, 32))
            try fixture.put(session, component: 1, offset: start, tokens: 32, bytes(1, 32))
        }
        for offset in [UInt64(64), 128] {
            try fixture.put(session, component: 2, offset: offset, tokens: 0, bytes(2, 0))
        }
        return session
    }

    private func evict(
        _ fixture: StoreFixture, _ session: UInt64, _ component: UInt16, _ offset: UInt64, _ rule: EvictionRule = .cold
    ) -> ErrorCode? {
        code {
            try fixture.store.evict(
                session: session, component: component, offset: offset, rule: rule,
                reader: StoreReader(fixture.store, userID: 1_000))
        }
    }

    @Test func explainsEvictionsAndHoles() throws {
        let fixture = try StoreFixture()
        let session = try session(fixture)
        func causes(_ at: UInt64 = .max) throws -> [MissCause] {
            try fixture.reader.explain(session: session, atMost: at).tracks.map(\.cause)
        }
        #expect(try causes() == [.none, .none, .none])
        #expect(try fixture.reader.explain(session: session, atMost: .max).offset == 128)
        #expect(try causes(100) == [.none, .none, .neverStored])
        let before = Clock.wallSeconds()
        #expect(evict(fixture, session, 0, 96) == nil && evict(fixture, session, 2, 128, .expired) == nil)
        let found = try fixture.reader.explain(session: session, atMost: .max)
        #expect(found.at == 128 && found.end == 128 && found.offset == 64)
        #expect(found.tracks.map(\.cause) == [.evicted, .none, .evicted])
        #expect(found.tracks.map(\.missing) == [96..<128, 128..<128, 128..<128])
        #expect(found.tracks.map { $0.eviction?.rule } == [.cold, nil, .expired])
        #expect(found.tracks[0].eviction!.seconds >= before && found.tracks[0].reach == 96)
        #expect(try causes(64) == [.none, .none, .none])
        #expect(code { _ = try fixture.get(session, component: 0, offset: 96) } == .miss)
        #expect(evict(fixture, session, 0, 96) == .miss)
        // It is the sessions' past that is explained: a fork sees what its parent lost.
        let fork = try fixture.store.fork(session: session, offset: 96, name: "f", reader: fixture.reader)
        #expect(evict(fixture, session, 1, 64) == nil)
        let forked = try fixture.reader.explain(session: fork, atMost: .max)
        #expect(forked.end == 96 && forked.tracks.map(\.cause) == [.none, .evicted, .neverStored])
        // Put again, it is there again; and a restart forgets nothing.
        try fixture.put(session, component: 0, offset: 96, tokens: 32, bytes(0, 32))
        try fixture.reopen()
        #expect(try causes() == [.none, .evicted, .evicted])
        try fixture.store.truncate(session: session, offset: 64)
        #expect(try causes() == [.none, .none, .none])
        let empty = try fixture.session("empty")
        let nothing = try fixture.reader.explain(session: empty, atMost: .max)
        #expect(nothing.end == 0 && nothing.offset == 0 && nothing.tracks.map(\.cause) == [.none, .none, .none])
        try fixture.put(empty, component: 0, offset: 0, tokens: 32, bytes(0, 32))
        #expect(
            try fixture.reader.explain(session: empty, atMost: .max).tracks.map(\.cause) == [.none, .noState, .noState])
    }

    @Test func namesModelsAndRanksThatDiffer() throws {
        let fixture = try StoreFixture()
        var declaration = StoreFixture.hybrid
        declaration.groupSize = 3
        declaration.rank = 1
        let session = try fixture.session("group", model: declaration)
        var other = declaration
        other.rank = 2
        let second = try fixture.store.declare(other)
        var foreign = declaration
        foreign.weights = "other weights"
        let third = try fixture.store.declare(foreign)
        func explain(_ model: UInt32) throws -> Explanation {
            try fixture.reader.explain(session: session, atMost: .max, modelID: model)
        }
        #expect(try explain(0).missingRanks == [0, 2])
        #expect(try explain(second.id).modelDifference.isEmpty)
        #expect(try explain(third.id).modelDifference.contains("weights"))
        #expect(code { _ = try explain(99) } == .unknownModel)
    }

    @Test func leasesWhatAResumeNames() throws {
        let fixture = try StoreFixture()
        let session = try session(fixture)
        // Up to 64, the sliding component needs its window of 64: both of its chunks; attention two; the state at 64.
        let plan = try fixture.reader.resume(session: session, atMost: 64)
        #expect(plan.chunks.count == 5)
        for chunk in plan.chunks { #expect(evict(fixture, session, chunk.component, chunk.offset) == .busy) }
        #expect(evict(fixture, session, 0, 64) == nil)
        for chunk in plan.chunks {
            #expect(try !fixture.get(session, component: chunk.component, offset: chunk.offset).isEmpty)
        }
        // Another resume of the session takes the place of the first.
        _ = try fixture.reader.resume(session: session, atMost: 0)
        #expect(evict(fixture, session, 0, 32) == nil)
        // The lease of a reader that is gone is gone.
        do { _ = try StoreReader(fixture.store, userID: 1_000).resume(session: session, atMost: .max) }
        #expect(evict(fixture, session, 1, 0) == nil)
        #expect(fixture.store.statistics().first { $0.name == "leased_blobs" }!.value == 0)
    }

    @Test func weighsLoadingAgainstComputing() throws {
        let fixture = try StoreFixture()
        let session = try session(fixture)
        let plan = try fixture.reader.resume(session: session, atMost: .max)
        #expect(plan.rawBytes == plan.chunks.reduce(0) { $0 + $1.rawBytes } && plan.loadNanoseconds > 0)
        #expect(plan.cheapestOffset == 128)
        // A slow worker loads all, one that computes in no time nothing.
        #expect(try fixture.reader.resume(session: session, atMost: .max, prefillRate: 1).cheapestOffset == 128)
        #expect(try fixture.reader.resume(session: session, atMost: .max, prefillRate: .max).cheapestOffset == 0)
    }

    /// What a resume names can be paged in, whatever is evicted at the same time.
    @Test func resumesAtomicallyBesideEvictions() throws {
        let fixture = try StoreFixture()
        let model = ModelDeclaration(name: "plain", components: [StoreFixture.hybrid.components[0]])
        let session = try fixture.session("race", model: model)
        let chunk = bytes(0, 32)
        for index in 0..<UInt64(400) {
            try fixture.put(session, component: 0, offset: index * 32, tokens: 32, chunk, acknowledgement: .accepted)
        }
        let store = fixture.store
        try store.synchronise()
        let isOver = Monitor(false)
        let evictor = try WorkerThread(name: "evictor") {
            let reader = StoreReader(store, userID: 1_000)
            // From the end, as a compactor does; what is under lease a little later.
            for index in (0..<UInt64(400)).reversed() {
                while code({
                    try store.evict(session: session, component: 0, offset: index * 32, rule: .cold, reader: reader)
                }) == .busy { Clock.sleep(milliseconds: 1) }
            }
            isOver.signal { $0 = true }
        }
        var lengths: Set<Int> = []
        while !isOver.withLock({ $0 }) {
            // A reader of its own each time, so that its lease ends with it.
            let reader = StoreReader(store, userID: 1_000)
            let plan = try reader.resume(session: session, atMost: .max)
            lengths.insert(plan.chunks.count)
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk.count, alignment: 16)
            defer { room.deallocate() }
            for entry in plan.chunks {
                let item = PageInItem(session: session, rank: 0, component: 0, offset: entry.offset)
                let result = reader.pageIn([item]) { found in found.map { _ in .success(room) } }[0]
                #expect(throws: Never.self) { _ = try result.get() }
            }
        }
        evictor.join()
        print("resumesAtomicallyBesideEvictions: resumed at \(lengths.count) lengths")
        #expect(lengths.count > 3)
        #expect(try fixture.reader.resume(session: session, atMost: .max).offset == 0)
    }
}
