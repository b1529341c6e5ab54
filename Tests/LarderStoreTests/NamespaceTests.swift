import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// Policies of namespaces: who may set them, that they last, and what they do.
@Suite struct NamespaceTests {
    private static let owner: UInt32 = 1_000
    private static let key = PrefixKey([UInt8](repeating: 0xA1, count: 32))!

    private func change(_ set: (inout NamespaceChange) -> Void) -> NamespaceChange {
        var change = NamespaceChange()
        set(&change)
        return change
    }

    private func policy(_ fixture: StoreFixture, _ name: String = "test") -> NamespacePolicy? {
        fixture.store.namespaces(after: 0, by: Principal(userID: 0)).first { $0.namespace.name == name }?.namespace
            .policy
    }

    private func sessions(_ fixture: StoreFixture, _ name: String = "test") -> Int? {
        fixture.store.namespaces(after: 0, by: Principal(userID: 0)).first { $0.namespace.name == name }?.sessions
    }

    private func bytes(_ seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return generator.bytes(StoreFixture.hybrid.components[0].byteCount(tokens: 32))
    }

    private func put(_ fixture: StoreFixture, _ session: UInt64, _ bytes: [UInt8]?) -> ErrorCode? {
        let outcome = Monitor<Store.PageOutResult?>(nil)
        let run = { (raw: UnsafeRawBufferPointer?) in
            let item = PageOutItem(
                session: session, rank: 0, component: 0, offset: 0, tokens: 32, bytes: raw, prefixKey: Self.key)
            fixture.store.pageOut([item], encoding: .auto, acknowledgement: .committed, reader: fixture.reader) {
                results in outcome.signal { $0 = results[0] }
            }
        }
        if let bytes { bytes.withUnsafeBytes { run($0) } } else { run(nil) }
        return code { _ = try outcome.wait { $0 }!.get() }
    }

    private func match(_ fixture: StoreFixture, _ namespace: String = "test") throws -> Int {
        let id = try fixture.store.declare(StoreFixture.hybrid).id
        return try fixture.reader.match(namespace: namespace, modelID: id, component: 0, keys: [Self.key])
    }

    private func blobs(_ fixture: StoreFixture) throws -> UInt64 {
        try fixture.settle()
        return fixture.store.statistics().first { $0.name == "blobs" }!.value
    }

    @Test func keepsAPolicyAcrossReopening() throws {
        let fixture = try StoreFixture(shards: 2)
        _ = try fixture.session("s")
        _ = try fixture.session("s", namespace: "other")
        #expect(policy(fixture) == NamespacePolicy())
        let all = change {
            $0.sharing = .off
            $0.salt = Array(0..<32)
            $0.ttlSeconds = 86_400
            $0.minBytes = 1 << 20
            $0.maxBytes = 2 << 20
            $0.maxSessions = 3
            $0.admission = .secondTouch
        }
        let expected = all.applied(to: NamespacePolicy())
        #expect(try fixture.store.configure(namespace: "test", all, by: Principal(userID: 0)).policy == expected)
        // What a change leaves out stays.
        var later = expected
        later.ttlSeconds = 60
        later.salt = []
        try fixture.store.configure(
            namespace: "test",
            change {
                $0.ttlSeconds = 60
                $0.salt = []
            }, by: Principal(userID: 0))
        #expect(policy(fixture) == later)
        try fixture.reopen()
        #expect(policy(fixture) == later && policy(fixture, "other") == NamespacePolicy())
        #expect(
            try fixture.store.configure(namespace: "test", change { _ in }, by: Principal(userID: Self.owner)).policy
                == later)
    }

    @Test func letsOnlyThoseSetWhatIsTheirs() throws {
        let fixture = try StoreFixture()
        // Neither root nor the user that the tests run as.
        let (owner, stranger) = (Process.userID + 10_000, Process.userID + 20_000)
        _ = try fixture.store.openSession(
            namespace: "test", name: "s", modelID: fixture.store.declare(StoreFixture.hybrid).id, create: true,
            by: Principal(userID: owner))
        func set(_ userID: UInt32, _ set: (inout NamespaceChange) -> Void) -> ErrorCode? {
            code { try fixture.store.configure(namespace: "test", change(set), by: Principal(userID: userID)) }
        }
        #expect(set(owner) { $0.sharing = .off } == nil && set(owner) { $0.salt = [1] } == nil)
        #expect(set(owner) { $0.ttlSeconds = 5 } == nil)
        let before = policy(fixture)
        #expect(set(owner) { $0.minBytes = 1 } == .forbidden && set(owner) { $0.maxBytes = 1 } == .forbidden)
        #expect(set(owner) { $0.maxSessions = 0 } == .forbidden)
        #expect(set(owner) { $0.admission = .everything } == .forbidden)
        // Nothing of a change that is refused is done.
        let mixed = set(owner) {
            $0.ttlSeconds = 9
            $0.maxBytes = 1
        }
        #expect(mixed == .forbidden)
        #expect(set(stranger) { $0.ttlSeconds = 1 } == .unknownSession && set(stranger) { _ in } == .unknownSession)
        #expect(policy(fixture) == before)
        for user in [0, Process.userID] { #expect(set(user) { $0.maxSessions = 100 + user } == nil) }
        let nobody = code {
            try fixture.store.configure(namespace: "none", change { $0.ttlSeconds = 1 }, by: Principal(userID: 0))
        }
        #expect(nobody == .unknownSession)
        #expect(fixture.store.namespaces(after: 0, by: Principal(userID: stranger)).isEmpty)
        #expect(fixture.store.namespaces(after: 0, by: Principal(userID: owner)).count == 1)
        let id = fixture.store.namespaces(after: 0, by: Principal(userID: 0))[0].namespace.id
        #expect(fixture.store.namespaces(after: id, by: Principal(userID: 0)).isEmpty)
    }

    @Test func refusesQuotasThatCannotBe() throws {
        let fixture = try StoreFixture()
        for name in ["one", "two"] { _ = try fixture.session("s", namespace: name) }
        let usable = fixture.store.statistics().first { $0.name == "usable_bytes" }!.value
        func set(_ name: String, _ set: (inout NamespaceChange) -> Void) -> LarderError? {
            do {
                try fixture.store.configure(namespace: name, change(set), by: Principal(userID: 0))
                return nil
            } catch { return error }
        }
        let crossed = set("one") {
            $0.minBytes = 11
            $0.maxBytes = 10
        }
        #expect(crossed?.code == .invalidArgument && crossed?.message.contains("11") == true)
        #expect(set("one") { $0.salt = [UInt8](repeating: 1, count: 33) }?.code == .invalidArgument)
        #expect(set("one") { $0.minBytes = usable + 1 }?.message.contains("\(usable + 1)") == true)
        #expect(set("one") { $0.minBytes = .max }?.code == .invalidArgument)
        #expect(set("one") { $0.minBytes = usable } == nil && set("two") { $0.minBytes = 1 }?.code == .invalidArgument)
        #expect(set("two") { $0.maxBytes = 5 } == nil)
        #expect(set("one") { $0.maxBytes = usable - 1 }?.code == .invalidArgument)
        #expect(set("one") { $0.minBytes = usable - 9 } == nil && set("two") { $0.minBytes = 9 }?.code != nil)
        #expect(set("two") { $0.minBytes = 5 } == nil)
        #expect(set("one") { $0.minBytes = .max }?.code == .invalidArgument)
    }

    @Test func boundsSessionsOverShards() throws {
        let fixture = try StoreFixture(shards: 4)
        let ids = try (0..<6).map { try fixture.session("s\($0)") }
        _ = try fixture.session("elsewhere", namespace: "other")
        #expect(Set(ids.map { $0 % 64 }).count > 1 && sessions(fixture) == 6 && sessions(fixture, "other") == 1)
        try fixture.store.configure(namespace: "test", change { $0.maxSessions = 7 }, by: Principal(userID: 0))
        _ = try fixture.session("s6")
        func open(_ name: String) -> LarderError? {
            do {
                _ = try fixture.session(name)
                return nil
            } catch { return error as? LarderError }
        }
        let refused = open("s7")
        #expect(refused?.code == .full && refused?.message.contains("'test' has 7 sessions") == true)
        #expect(code { try fixture.fork(ids[0], "fork") } == .full)
        // One that is there is opened, and other namespaces are as they were.
        #expect(open("s3") == nil && sessions(fixture) == 7)
        _ = try fixture.session("another", namespace: "other")
        try fixture.store.drop(session: ids[1])
        #expect(sessions(fixture) == 6)
        try fixture.fork(ids[0], "fork")
        #expect(sessions(fixture) == 7 && open("s7")?.code == .full)
        // A fork whose name is taken, and a drop of what is gone, count nothing.
        #expect(code { try fixture.fork(ids[0], "fork") } == .exists)
        #expect(code { try fixture.store.drop(session: ids[1]) } == .unknownSession)
        #expect(sessions(fixture) == 7)
        try fixture.reopen()
        #expect(sessions(fixture) == 7 && sessions(fixture, "other") == 2 && open("s7")?.code == .full)
        // Lowered below what is there, nobody loses a session; raised, there is room.
        try fixture.store.configure(namespace: "test", change { $0.maxSessions = 2 }, by: Principal(userID: 0))
        #expect(open("s3") == nil && open("s7")?.code == .full && sessions(fixture) == 7)
        try fixture.store.configure(namespace: "test", change { $0.maxSessions = 0 }, by: Principal(userID: 0))
        #expect(open("s7") == nil && sessions(fixture) == 8)
    }

    /// Many threads, four shards, one limit: never a session more.
    @Test func boundsSessionsMadeAtOnce() throws {
        let fixture = try StoreFixture(shards: 4)
        let first = try fixture.session("first")
        try fixture.store.configure(namespace: "test", change { $0.maxSessions = 10 }, by: Principal(userID: 0))
        let store = fixture.store
        let model = try store.declare(StoreFixture.hybrid).id
        let made = Monitor<(ids: [UInt64], refused: Int, threads: Int)>(([], 0, 0))
        for thread in 0..<8 {
            try WorkerThread(name: "opener-\(thread)") {
                for index in 0..<8 {
                    let opened = try? store.openSession(
                        namespace: "test", name: "s-\(thread)-\(index)", modelID: model, create: true,
                        by: Principal(userID: 1_000))
                    made.signal { if let opened { $0.ids.append(opened.id) } else { $0.refused += 1 } }
                }
                made.signal { $0.threads += 1 }
            }.detach()
        }
        let result = made.wait { $0.threads == 8 ? $0 : nil }!
        #expect(result.ids.count == 9 && result.refused == 55 && sessions(fixture) == 10)
        for id in result.ids + [first] { try store.drop(session: id) }
        #expect(sessions(fixture) == 0)
    }

    @Test func sharesNothingWhereSharingIsOff() throws {
        let fixture = try StoreFixture(shards: 2)
        let names = (0..<6).map { "s\($0)" }
        let ids = try names.map { try fixture.session($0) }
        #expect(put(fixture, ids[0], bytes(1)) == nil && put(fixture, ids[1], bytes(1)) == nil)
        let before = try blobs(fixture)
        #expect(try match(fixture) == 1)
        try fixture.store.configure(namespace: "test", change { $0.sharing = .off }, by: Principal(userID: Self.owner))
        #expect(try match(fixture) == 0)
        #expect(put(fixture, ids[2], nil) == .miss)
        // Each by itself: other bytes under the key are no conflict, equal ones are stored again.
        #expect(put(fixture, ids[3], bytes(2)) == nil && put(fixture, ids[4], bytes(1)) == nil)
        #expect(put(fixture, ids[4], bytes(1)) == nil)
        #expect(try blobs(fixture) == before + 2)
        // What was shared before is there for the sessions that have it, and frees as ever.
        for (id, seed) in [(ids[0], UInt64(1)), (ids[1], 1), (ids[3], 2), (ids[4], 1)] {
            #expect(try fixture.get(id, component: 0, offset: 0) == bytes(seed))
        }
        for id in [ids[0], ids[3], ids[4]] { try fixture.store.drop(session: id) }
        #expect(try fixture.get(ids[1], component: 0, offset: 0) == bytes(1))
        try fixture.store.configure(
            namespace: "test", change { $0.sharing = .shared }, by: Principal(userID: Self.owner))
        #expect(try match(fixture) == 1 && put(fixture, ids[2], nil) == nil)
        #expect(try fixture.get(ids[2], component: 0, offset: 0) == bytes(1))
        for id in [ids[1], ids[2], ids[5]] { try fixture.store.drop(session: id) }
        #expect(try blobs(fixture) == 0)
    }

    @Test func startsAnewWithAnotherSalt() throws {
        let fixture = try StoreFixture()
        let ids = try (0..<4).map { try fixture.session("s\($0)") }
        let salt = [UInt8](repeating: 7, count: 32)
        #expect(put(fixture, ids[0], bytes(1)) == nil)
        try fixture.store.configure(namespace: "test", change { $0.salt = salt }, by: Principal(userID: Self.owner))
        #expect(try match(fixture) == 0 && put(fixture, ids[1], nil) == .miss)
        // The key is free again, and names what is put now.
        #expect(put(fixture, ids[1], bytes(2)) == nil && put(fixture, ids[2], nil) == nil)
        #expect(try blobs(fixture) == 2 && match(fixture) == 1)
        try fixture.reopen()
        #expect(try match(fixture) == 1)
        #expect(try fixture.get(ids[0], component: 0, offset: 0) == bytes(1))
        #expect(try fixture.get(ids[2], component: 0, offset: 0) == bytes(2))
        try fixture.store.configure(namespace: "test", change { $0.salt = [9] }, by: Principal(userID: Self.owner))
        #expect(try match(fixture) == 0)
        try fixture.store.configure(namespace: "test", change { $0.salt = [] }, by: Principal(userID: Self.owner))
        #expect(put(fixture, ids[3], nil) == nil)
        #expect(try fixture.get(ids[3], component: 0, offset: 0) == bytes(1))
        for id in ids { try fixture.store.drop(session: id) }
        #expect(try blobs(fixture) == 0)
    }

    @Test func givesASessionATimeOfItsOwn() throws {
        let fixture = try StoreFixture()
        let id = try fixture.session("s")
        func seconds() throws -> [UInt32] {
            try fixture.reader.sessions(namespace: "test", after: 0).sessions.map(\.ttlSeconds)
        }
        #expect(try seconds() == [0])
        #expect(put(fixture, id, bytes(1)) == nil)
        try fixture.store.configure(session: id, ttlSeconds: 7_200)
        try fixture.fork(id, "fork")
        try fixture.store.configure(session: id, ttlSeconds: NamespacePolicy.never)
        try fixture.reopen()
        // A fork takes its parent's along.
        #expect(try seconds() == [NamespacePolicy.never, 7_200])
        #expect(try fixture.get(id, component: 0, offset: 0) == bytes(1))
        #expect(code { try fixture.store.configure(session: id + 64 * 9, ttlSeconds: 1) } == .unknownSession)
    }
}

extension StoreFixture {
    @discardableResult
    func fork(_ session: UInt64, _ name: String) throws -> UInt64 {
        try store.fork(session: session, offset: 0, name: name, reader: reader)
    }
}
