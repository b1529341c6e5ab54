import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// Forks, truncates and drops against a model that copies everything.
@Suite struct SessionTreeTests {
    private struct Place: Hashable {
        let component: UInt16
        let offset: UInt64
    }

    private typealias Chunks = [Place: (tokens: UInt32, bytes: [UInt8])]

    /// A session as a person would keep it: a dictionary of its own.
    private struct Expected {
        let id: UInt64
        var chunks: Chunks = [:]

        func upTo(_ offset: UInt64) -> Chunks {
            chunks.filter { $0.key.offset + UInt64($0.value.tokens) <= offset }
        }

        var end: UInt64 { chunks.map { $0.key.offset + UInt64($0.value.tokens) }.max() ?? 0 }

        func overlaps(_ place: Place, tokens: UInt32) -> Bool {
            chunks.contains { other, chunk in
                guard other.component == place.component else { return false }
                if tokens == 0 { return other.offset == place.offset }
                return other.offset < place.offset + UInt64(tokens)
                    && place.offset < other.offset + UInt64(chunk.tokens)
            }
        }
    }

    @Test(arguments: 0..<4) func agreesWithCopies(run: Int) throws {
        let seed = testSeed("SessionTreeTests") &+ UInt64(run)
        print("agreesWithCopies: run \(run), seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let fixture = try StoreFixture(shards: 1 + run % 2)
        var sessions: [String: Expected] = [:]
        var made = 0
        for step in 0..<3_000 {
            let name = sessions.keys.sorted().randomElement(using: &generator)
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<55: if let name { try put(&sessions[name]!, fixture, &generator) }
            case 55..<67:
                guard let name, sessions.count < 24 else { continue }
                made += 1
                try fork(name, "s\(made)", &sessions, fixture, &generator)
            case 67..<82:
                guard let name else { continue }
                let offset = UInt64.random(in: 0...sessions[name]!.end + 20, using: &generator)
                try fixture.store.truncate(session: sessions[name]!.id, offset: offset)
                sessions[name]!.chunks = sessions[name]!.upTo(offset)
            case 82..<87:
                guard let name else { continue }
                try fixture.store.drop(session: sessions.removeValue(forKey: name)!.id)
            case 87..<88: try fixture.reopen()
            case 88..<91:
                made += 1
                sessions["s\(made)"] = Expected(id: try fixture.session("s\(made)"))
            default: if let name { try compare(sessions[name]!, fixture, "step \(step), \(name)") }
            }
        }
        try fixture.settle()
        for (name, session) in sessions { try compare(session, fixture, "at the end, \(name)") }
        // Nothing is kept that no session sees: the blobs are as many as there are chunks of different origin.
        for name in sessions.keys { try fixture.store.drop(session: sessions[name]!.id) }
        try fixture.settle()
        let left = Dictionary(uniqueKeysWithValues: fixture.store.statistics().map { ($0.name, $0.value) })
        #expect(left["blobs"] == 0 && left["lines"] == 0 && left["sessions"] == 0)
    }

    private func put(
        _ session: inout Expected, _ fixture: StoreFixture, _ generator: inout SeededGenerator
    ) throws {
        let component = UInt16.random(in: 0..<3, using: &generator)
        let tokens: UInt32 = component == 2 ? 0 : .random(in: 1...40, using: &generator)
        // Mostly at the end, as workers do; now and then in a hole or over what is there.
        let end =
            session.chunks.filter { $0.key.component == component }
            .map { $0.key.offset + UInt64($0.value.tokens) }.max() ?? 0
        let isAtEnd = Int.random(in: 0..<4, using: &generator) > 0
        let place = Place(
            component: component,
            offset: isAtEnd ? end + (component == 2 ? 7 : 0) : .random(in: 0...end + 30, using: &generator))
        let count = StoreFixture.hybrid.components[Int(component)].byteCount(tokens: tokens)
        let bytes = [UInt8](repeating: .random(in: 0..<4, using: &generator), count: count)
        let id = session.id
        let outcome = code { try fixture.put(id, component: component, offset: place.offset, tokens: tokens, bytes) }
        if let stored = session.chunks[place], stored.tokens == tokens {
            #expect(outcome == (stored.bytes == bytes ? nil : .conflict))
        } else if session.overlaps(place, tokens: tokens) {
            #expect(outcome == .overlap)
        } else {
            #expect(outcome == nil)
            session.chunks[place] = (tokens, bytes)
        }
    }

    private func fork(
        _ parent: String, _ name: String, _ sessions: inout [String: Expected], _ fixture: StoreFixture,
        _ generator: inout SeededGenerator
    ) throws {
        let session = sessions[parent]!
        let offset = UInt64.random(in: 0...session.end + 3, using: &generator)
        var id: UInt64 = 0
        let outcome = code {
            id = try fixture.store.fork(session: session.id, offset: offset, name: name, reader: fixture.reader)
        }
        if offset > session.end {
            #expect(outcome == .invalidArgument)
        } else {
            #expect(outcome == nil)
            sessions[name] = Expected(id: id, chunks: session.upTo(offset))
            #expect(
                code { _ = try fixture.store.fork(session: id, offset: 0, name: parent, reader: fixture.reader) }
                    == .exists)
        }
    }

    private func compare(_ session: Expected, _ fixture: StoreFixture, _ label: String) throws {
        let listed = try fixture.reader.chunks(session: session.id, from: ChunkPosition())
        let places = listed.map { Place(component: $0.component, offset: $0.offset) }
        let expected = session.chunks.keys.sorted { ($0.component, $0.offset) < ($1.component, $1.offset) }
        #expect(places == expected, "\(label)")
        for (place, chunk) in session.chunks {
            let bytes = try? fixture.get(session.id, component: place.component, offset: place.offset)
            #expect(bytes == chunk.bytes, "\(label), component \(place.component) at \(place.offset)")
        }
        #expect(try fixture.reader.verify(session: session.id, from: ChunkPosition()).damaged.isEmpty)
        let whole = session.chunks.filter { $0.key.component == 0 }.sorted { $0.key.offset < $1.key.offset }
            .reduce(UInt64(0)) { $1.key.offset == $0 ? $0 + UInt64($1.value.tokens) : $0 }
        #expect(try fixture.reader.resume(session: session.id, atMost: .max).reaches[0].offset == whole, "\(label)")
    }

    @Test func forksInConstantTimeAndFreesWhatNobodySees() throws {
        let fixture = try StoreFixture()
        let root = try fixture.session("root")
        func put(_ session: UInt64, _ offset: UInt64, _ seed: UInt8) throws {
            let bytes = [UInt8](repeating: seed, count: StoreFixture.hybrid.components[0].byteCount(tokens: 10))
            try fixture.put(session, component: 0, offset: offset, tokens: 10, bytes)
        }
        for index in 0..<UInt64(50) { try put(root, index * 10, 1) }
        let first = try fixture.store.fork(session: root, offset: 200, name: "first", reader: fixture.reader)
        let second = try fixture.store.fork(session: first, offset: 105, name: "second", reader: fixture.reader)
        try put(second, 100, 2)
        func blobs() throws -> UInt64 {
            try fixture.settle()
            return fixture.store.statistics().first { $0.name == "blobs" }!.value
        }
        #expect(try blobs() == 51)
        // The root goes: what only it saw goes with it. `first` sees 20 chunks, `second` ten of those and one of its own.
        try fixture.store.drop(session: root)
        #expect(try blobs() == 21)
        try fixture.store.drop(session: first)
        #expect(try blobs() == 11)
        #expect(try fixture.reader.resume(session: second, atMost: .max).offset == 0)
        #expect(try fixture.reader.resume(session: second, atMost: .max).reaches[0].offset == 110)
        try fixture.store.truncate(session: second, offset: 50)
        #expect(try blobs() == 5)
        // A name may be used again, and is another session.
        let again = try fixture.session("root")
        #expect(again != root && code { try put(root, 0, 1) } == .unknownSession)
        try fixture.store.drop(session: second)
        #expect(try blobs() == 0)
    }

    /// Another user's session is forked like one that does not exist, and nothing is made.
    @Test func forksNoStrangersSession() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("mine")
        let stranger = StoreReader(fixture.store, userID: 65_533)
        let outcome = code {
            _ = try fixture.store.fork(session: session, offset: 0, name: "stolen", reader: stranger)
        }
        #expect(outcome == .unknownSession)
        #expect(try fixture.reader.sessions(namespace: "", after: 0).sessions.map(\.name) == ["mine"])
    }

    /// Going back and on again makes no path longer; ten thousand forks of one session are no trouble.
    @Test func staysFlatUnderRewinds() throws {
        let fixture = try StoreFixture()
        let session = try fixture.session("rewinds")
        let bytes = [UInt8](repeating: 7, count: StoreFixture.hybrid.components[0].byteCount(tokens: 10))
        try fixture.put(session, component: 0, offset: 0, tokens: 10, bytes)
        for _ in 0..<200 {
            try fixture.put(session, component: 0, offset: 10, tokens: 10, bytes)
            try fixture.store.truncate(session: session, offset: 10)
        }
        try fixture.settle()
        let lines = fixture.store.statistics().first { $0.name == "lines" }!.value
        #expect(lines <= 2, "\(lines) lines")
        #expect(try fixture.get(session, component: 0, offset: 0) == bytes)
    }
}
