import LarderModel
import LarderStore
import LarderTestSupport
import Testing

/// Pins, prefetches and shares; and hints that nobody should send.
@Suite struct PinTests {
    private func key(_ seed: UInt8) -> PrefixKey { PrefixKey([UInt8](repeating: seed, count: 32))! }

    /// Grows a session until the store takes no more; returns how far it came, and why it ended.
    private func grow(_ hints: HintFixture, _ session: UInt64) throws -> (chunks: UInt64, refusal: LarderError?) {
        var stored: UInt64 = 0
        while stored < 300 {
            do { try hints.grow(session, to: stored..<stored + 1) } catch let error as LarderError {
                return (stored, error)
            }
            stored += 1
        }
        return (stored, nil)
    }

    @Test func aPinSurvivesWhateverElseGoesAndDiesWithItsReader() throws {
        let hints = try HintFixture()
        let pinned = try hints.session("pinned", chunks: 10)
        let other = try hints.session("other", chunks: 10)
        var holder: StoreReader? = StoreReader(hints.store, userID: 1_000)
        #expect(
            try hints.hint(.pin, pinned, seconds: 600, reader: holder) == HintResult(.accepted, to: 2_560, seconds: 600)
        )
        #expect(hints.statistic("pinned_blobs") == 10)
        // One session takes all that may go.
        let growing = try hints.fixture.session("growing")
        let end = try grow(hints, growing)
        #expect(end.refusal?.code == .full && end.refusal?.message.contains("release pins") == true)
        #expect(try hints.left(pinned) == 10)
        #expect(try hints.left(other) == 0)
        holder = nil
        #expect(hints.statistic("pinned_blobs") == 0)
        try hints.grow(growing, to: end.chunks..<end.chunks + 4)
        #expect(try hints.hint(.demote, pinned).outcome != .rejected)
        try hints.flood("a")
        #expect(try hints.left(pinned) == 0)
    }

    @Test func aPinEndsAtItsDeadlineAndWhenItIsEnded() throws {
        let hints = try HintFixture()
        let late = try hints.session("late", chunks: 5)
        let ended = try hints.session("ended", chunks: 5)
        let renewed = try hints.session("renewed", chunks: 5)
        for session in [late, ended, renewed] {
            #expect(try hints.hint(.pin, session, seconds: 40).outcome == .accepted)
        }
        #expect(hints.statistic("pinned_blobs") == 15)
        #expect(try hints.hint(.pin, ended).outcome == .accepted)
        #expect(hints.statistic("pinned_blobs") == 10)
        hints.fixture.clock.advance(seconds: 30)
        // A shorter range: what it no longer names is let go.
        #expect(try hints.hint(.pin, renewed, to: 512, seconds: 40).outcome == .accepted)
        hints.fixture.clock.advance(seconds: 11)
        #expect(hints.statistic("pinned_blobs") == 2)
        try hints.flood("a")
        #expect(try hints.left(late) == 0)
        #expect(try hints.left(ended) == 0)
        #expect(try hints.left(renewed) == 2)
    }

    /// A shorter lease of a resume takes nothing from a pin, nor does its end.
    @Test func aResumeDoesNotShortenAPin() throws {
        let hints = try HintFixture()
        let session = try hints.session("s", chunks: 5)
        let holder = StoreReader(hints.store, userID: 1_000)
        #expect(try hints.hint(.pin, session, seconds: 600, reader: holder).outcome == .accepted)
        var resuming: StoreReader? = StoreReader(hints.store, userID: 1_000)
        _ = try resuming?.resume(session: session, atMost: .max)
        resuming = nil
        hints.fixture.clock.advance(seconds: 300)
        try hints.flood("a", chunks: 320)
        #expect(try hints.left(session) == 5)
        #expect(
            code {
                try hints.store.evict(session: session, component: 0, offset: 0, rule: .cold, reader: holder)
            } == .busy)
    }

    @Test func pinsAreBounded() throws {
        let hints = try HintFixture()
        let long = try hints.session("long", chunks: 40)
        let clipped = try hints.hint(.pin, long, seconds: 40)
        #expect(clipped.outcome == .clipped && clipped.bound == .bytes && clipped.to % 256 == 0)
        #expect(hints.statistic("pinned_blobs") == clipped.to / 256 && clipped.to < 10_240)
        let none = try hints.hint(.pin, try hints.session("late", chunks: 4), to: 1_024, seconds: 40)
        #expect(none.bound == .bytes)
        // The same chunks, by another reader, cost nothing.
        var other: StoreReader? = StoreReader(hints.store, userID: 1_000)
        #expect(try hints.hint(.pin, long, to: clipped.to, seconds: 9_999, reader: other).seconds == Limits.pinSeconds)
        _ = try hints.hint(.pin, long)
        #expect(hints.statistic("pinned_blobs") == clipped.to / 256)
        other = nil
        #expect(hints.statistic("pinned_blobs") == 0)
        let small = try hints.session("small", chunks: 1)
        let many = [Hint](repeating: Hint(.pin, .session(small), seconds: 1), count: Limits.pinsPerConnection + 9)
        let results = try hints.fixture.reader.hint(many)
        #expect(results.count { $0.outcome == .rejected && $0.bound == .count } >= 9)
    }

    @Test func prefixKeysAreTargets() throws {
        let hints = try HintFixture()
        let session = try hints.session("s", chunks: 6)
        let model = try hints.store.declare(StoreFixture.hybrid).id
        let keys = (1...4).map { key($0) }
        let reader = hints.fixture.reader
        let shared = try reader.hint([Hint(.share, .track(session, component: 0, keys: keys))])[0]
        #expect(shared == HintResult(.accepted, to: 1_024))
        func target(_ keys: [PrefixKey]) -> HintTarget {
            .keys(namespace: "test", modelID: model, component: 0, keys: keys)
        }
        let retained = try reader.hint([Hint(.retain, target(keys), seconds: 40)])[0]
        #expect(retained == HintResult(.accepted, to: 4, seconds: 40))
        #expect(hints.statistic("retentions") == 1)
        try hints.flood("a")
        #expect(try hints.left(session) == 4)
        #expect(try reader.hint([Hint(.pin, target(keys), seconds: 40)])[0].outcome == .accepted)
        #expect(hints.statistic("pinned_blobs") == 4)
        #expect(try reader.hint([Hint(.pin, target(keys))])[0].outcome == .accepted)
        #expect(hints.statistic("pinned_blobs") == 0)
        let part = try reader.hint([Hint(.prefetch, target([keys[0], key(9), keys[1]]))])[0]
        #expect(part.outcome == .clipped && part.bound == .stored || part.outcome == .deferred)
        #expect(part.to == 1)
        #expect(try reader.hint([Hint(.demote, target(keys))])[0].outcome == .accepted)
        #expect(hints.statistic("retentions") == 0)
        try hints.flood("b")
        #expect(try hints.left(session) == 0)
        #expect(try reader.hint([Hint(.retain, target(keys), seconds: 40)])[0].outcome == .missing)
    }

    @Test func aShareLetsOtherSessionsMatch() throws {
        let hints = try HintFixture(capBytes: 64 << 20)
        let session = try hints.session("s", chunks: 4)
        let reader = hints.fixture.reader
        let model = try hints.store.declare(StoreFixture.hybrid).id
        func match(_ keys: [PrefixKey], _ namespace: String = "test") throws -> Int {
            try reader.match(namespace: namespace, modelID: model, component: 0, keys: keys)
        }
        func share(_ target: UInt64, _ keys: [PrefixKey], from: UInt64 = 0, to: UInt64 = .max) throws -> HintResult {
            try reader.hint([Hint(.share, .track(target, from: from, to: to, component: 0, keys: keys))])[0]
        }
        let keys = (1...5).map { key($0) }
        #expect(try match(keys) == 0)
        #expect(try share(session, Array(keys[..<2]), to: 512) == HintResult(.accepted, to: 512))
        let rest = try share(session, Array(keys[2...]), from: 512)
        #expect(rest.outcome == .clipped && rest.bound == .stored && rest.to == 1_024)
        #expect(try match(keys) == 4 && match(keys, "other") == 0)
        // Again: nothing to do. With other keys: they have theirs.
        #expect(try share(session, Array(keys[..<4])).outcome == .accepted)
        #expect(try share(session, [key(7)]).bound == .conflict)
        // Another session takes a chunk by its key alone, and keeps it when the first is gone.
        let other = try hints.fixture.session("other")
        #expect(try putByKey(hints, other, keys[0]) == nil)
        try hints.store.drop(session: session)
        try hints.fixture.settle()
        #expect(try hints.fixture.get(other, component: 0, offset: 0) == hints.bytes(session, 0))
        #expect(try match(keys) == 1)
        // A key that names other bytes.
        let third = try hints.session("third", chunks: 1)
        let refused = try share(third, [keys[0]])
        #expect(refused.outcome == .rejected && refused.bound == .conflict && refused.reason.contains("other bytes"))
        #expect(try reader.verify(session: other, from: ChunkPosition()).damaged.isEmpty)
    }

    private func putByKey(_ hints: HintFixture, _ session: UInt64, _ key: PrefixKey) throws -> ErrorCode? {
        try hints.fixture.put(session, offset: 0, tokens: HintFixture.tokens, key: key)
    }

    @Test func aShareOfWhatIsNotToBeShared() throws {
        let hints = try HintFixture(capBytes: 64 << 20)
        let session = try hints.session("s", chunks: 2)
        let reader = hints.fixture.reader
        func share(_ target: HintTarget) throws -> HintResult { try reader.hint([Hint(.share, target)])[0] }
        #expect(try share(.track(session, component: 0, keys: [])).bound == .argument)
        #expect(try share(.track(session, component: 9, keys: [key(1)])).bound == .argument)
        #expect(try share(.track(session, rank: 3, component: 0, keys: [key(1)])).bound == .argument)
        #expect(try share(.session(session)).bound == .argument)
        #expect(try share(.track(session, component: 0, keys: [key(1), key(1)])).bound == .conflict)
        #expect(try share(.track(session, from: 7, component: 0, keys: [key(1)])).outcome == .missing)
        // A recurrent state is named by the end of its range.
        let state = [UInt8](repeating: 7, count: StoreFixture.hybrid.components[2].byteCount(tokens: 0))
        try hints.fixture.put(session, component: 2, offset: 512, tokens: 0, state)
        #expect(try share(.track(session, to: 512, component: 2, keys: [key(8)])).outcome == .accepted)
        #expect(try share(.track(session, component: 2, keys: [key(8)])).bound == .argument)
        try hints.store.configure(namespace: "test", sharingOff(), by: Principal(userID: 0))
        let off = try share(.track(session, component: 0, keys: [key(1)]))
        #expect(off.outcome == .rejected && off.bound == .policy && off.reason.contains("sharing on"))
    }

    private func sharingOff() -> NamespaceChange {
        var change = NamespaceChange()
        change.sharing = .off
        return change
    }

    @Test func hostileHintsAreAnsweredEachForItself() throws {
        let hints = try HintFixture(capBytes: 64 << 20)
        let session = try hints.session("s", chunks: 2)
        let empty = try hints.fixture.session("empty")
        let model = try hints.store.declare(StoreFixture.hybrid).id
        let stranger = StoreReader(hints.store, userID: 4_321)
        let keys = [PrefixKey](repeating: key(1), count: Limits.batchItems + 1)
        for kind in [HintKind.retain, .pin, .prefetch, .demote] {
            func result(_ target: HintTarget, _ reader: StoreReader? = nil) throws -> HintResult {
                try (reader ?? hints.fixture.reader).hint([Hint(kind, target, seconds: 9)])[0]
            }
            for (from, to) in [(UInt64(5), UInt64(5)), (9, 3), (.max, .max), (1 << 40, .max)] {
                let reversed = try result(.session(session, from: from, to: to))
                #expect(reversed.outcome == .rejected && reversed.bound == .argument)
            }
            let unknown = try result(.session(999 * 64))
            #expect(unknown.outcome == .missing && (try result(.session(.max)).outcome == .missing))
            // Another user's session is as if there were none, down to the words.
            let others = try result(.session(session), stranger)
            #expect(others.outcome == .missing)
            #expect(others.reason == unknown.reason.replacing("\(999 * 64)", with: "\(session)"))
            #expect(try result(.session(empty)).outcome == .missing)
            #expect(try result(.session(session, from: 4_096)).outcome == .missing)
            #expect(try result(.track(session, component: 0, keys: [key(1)])).bound == .argument)
            func named(_ keys: [PrefixKey], _ namespace: String = "test") -> HintTarget {
                .keys(namespace: namespace, modelID: model, component: 0, keys: keys)
            }
            #expect(try result(named([])).bound == .argument && result(named(keys)).bound == .argument)
            #expect(try result(named([key(1)])).outcome == .missing)
            #expect(try result(named([key(1)], "nobody")).outcome == .missing)
            #expect(try result(named([key(1)]), stranger).outcome == .missing)
        }
        #expect(hints.statistic("retentions") == 0 && hints.statistic("pinned_blobs") == 0)
        #expect(try hints.fixture.reader.hint([]).isEmpty)
    }

    @Test func prefetchesQueueUp() throws {
        let hints = try HintFixture(capBytes: 64 << 20)
        let session = try hints.session("s", chunks: 40)
        let results = try hints.fixture.reader.hint(
            [Hint](repeating: Hint(.prefetch, .session(session, from: 256, to: 1_024)), count: 500))
        #expect(results[0] == HintResult(.accepted, from: 256, to: 1_024))
        #expect(results.contains { $0.outcome == .deferred })
        for result in results where result.outcome != .accepted {
            #expect(result.bound == .queue && (result.outcome == .deferred || result.outcome == .rejected))
        }
    }
}
