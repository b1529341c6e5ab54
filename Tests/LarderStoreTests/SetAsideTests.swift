import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// Damaged shards that are set aside, and stores that were interrupted while they were made.
@Suite struct SetAsideTests {
    private let tokens: UInt32 = 64

    private func chunk(_ seed: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: UInt64(seed))
        return generator.bytes(StoreFixture.hybrid.components[0].byteCount(tokens: tokens))
    }

    /// A store of four shards with 32 sessions of one chunk each, and the sessions by shard.
    private func fixture() throws -> (StoreFixture, [UInt64]) {
        let fixture = try StoreFixture(shards: 4) { $0.onCorruption = .reset }
        let sessions = try (0..<32).map { number in
            let session = try fixture.session("s\(number)")
            try fixture.put(session, component: 0, offset: 0, tokens: tokens, chunk(number))
            return session
        }
        return (fixture, sessions)
    }

    private func damage(_ fixture: StoreFixture, shard: Int) throws {
        let path = "\(fixture.configuration.directory)/shard-\(shard)/data.mdb"
        var bytes = try FileSystem.read(path, limit: 64 << 20)
        // The head of every page but the first two.
        for page in stride(from: 2 * 4_096, to: bytes.count, by: 4_096) { bytes[page] ^= 0xFF }
        try FileSystem.write(bytes, to: path)
    }

    private func setAside(_ fixture: StoreFixture) -> [String] {
        (FileSystem.names(in: fixture.configuration.directory) ?? []).filter { $0.hasPrefix("damaged-") }.sorted()
    }

    /// What the other shards hold is served, and no new session has the number of one that was lost.
    @Test func losesOnlyTheDamagedShard() throws {
        let (fixture, sessions) = try fixture()
        let storeID = fixture.store.id
        let lost = Set(sessions.filter { $0 % UInt64(Limits.shards) == 2 })
        #expect(!lost.isEmpty && lost.count < sessions.count)
        try fixture.reopen { try damage(fixture, shard: 2) }
        #expect(fixture.store.id == storeID)
        for (number, session) in sessions.enumerated() {
            if lost.contains(session) {
                #expect(code { _ = try fixture.get(session, component: 0, offset: 0) } == .unknownSession)
            } else {
                #expect(try fixture.get(session, component: 0, offset: 0) == chunk(number))
            }
        }
        let aside = setAside(fixture)
        #expect(aside.count == 1 && aside[0].hasSuffix("-shard-2"))
        let counters = Dictionary(uniqueKeysWithValues: fixture.store.statistics().map { ($0.name, $0.value) })
        #expect(counters["set_aside_bytes"]! > 0)
        #expect(
            counters["disk_bytes"]! + counters["set_aside_bytes"]!
                == UInt64(FileSpace.allocatedBytes(fixture.configuration.directory)))
        for number in 0..<32 {
            let session = try fixture.session("s\(number)")
            #expect(!lost.contains(session))
            try fixture.put(session, component: 0, offset: 0, tokens: tokens, chunk(number))
            #expect(try fixture.get(session, component: 0, offset: 0) == chunk(number))
        }
        // Only the newest is kept.
        try fixture.reopen { try damage(fixture, shard: 2) }
        #expect(setAside(fixture).count == 1)
    }

    /// Shard 0 holds what all others need to be understood: models and namespaces.
    @Test func losesAllWithTheCatalog() throws {
        let (fixture, sessions) = try fixture()
        let storeID = fixture.store.id
        try fixture.reopen { try damage(fixture, shard: 0) }
        #expect(fixture.store.id != storeID)
        #expect(setAside(fixture).count == 4)
        for session in sessions {
            #expect(code { _ = try fixture.get(session, component: 0, offset: 0) } == .unknownSession)
        }
        let session = try fixture.session("new")
        try fixture.put(session, component: 0, offset: 0, tokens: tokens, chunk(1))
        #expect(try fixture.get(session, component: 0, offset: 0) == chunk(1))
    }

    /// A crash between the renames leaves the others without shard 0: they are set aside, too.
    @Test func goesOnWhereSettingAsideWasInterrupted() throws {
        let (fixture, _) = try fixture()
        fixture.store.close()
        let directory = fixture.configuration.directory
        try FileSystem.rename("\(directory)/shard-0", to: "\(directory)/damaged-20260101T000000Z-shard-0")
        var careful = fixture.configuration
        careful.onCorruption = .refuse
        #expect(code { _ = try Store(careful, log: StoreFixture.silent) } == .storeUnusable)
        #expect(setAside(fixture).count == 1)
        try fixture.reopen()
        #expect(setAside(fixture).count == 4)
        let session = try fixture.session("new")
        try fixture.put(session, component: 0, offset: 0, tokens: tokens, chunk(1))
        #expect(try fixture.get(session, component: 0, offset: 0) == chunk(1))
    }

    /// What is not damage is refused whatever the policy, and left as it is.
    @Test func setsNothingElseAside() throws {
        let (fixture, _) = try fixture()
        fixture.store.close()
        var fewer = fixture.configuration
        fewer.shards = 2
        #expect(code { _ = try Store(fewer, log: StoreFixture.silent) } == .storeUnusable)
        #expect(setAside(fixture).isEmpty)
        // A shard that is missing is made anew.
        FileSystem.removeTree("\(fixture.configuration.directory)/shard-3")
        try fixture.reopen()
        #expect(setAside(fixture).isEmpty)
    }

    /// The file of a shard comes into being whole, or not at all.
    @Test func startsWhereMakingItWasInterrupted() throws {
        let directory = try TemporaryDirectory()
        try FileSystem.makeDirectory("\(directory.path)/store/shard-0/new")
        try FileSystem.write([1, 2, 3], to: "\(directory.path)/store/shard-0/new/data.mdb")
        try FileSystem.write([], to: "\(directory.path)/store/shard-0/data.mdb")
        let fixture = try StoreFixture(directory: directory)
        #expect(!FileSystem.exists("\(directory.path)/store/shard-0/new"))
        let session = try fixture.session("a")
        try fixture.put(session, component: 0, offset: 0, tokens: tokens, chunk(1))
        try fixture.reopen()
        #expect(try fixture.get(session, component: 0, offset: 0) == chunk(1))
    }
}
