import LarderModel
import LarderStore
import LarderTestSupport
import Testing

/// Random operations on a store and on a dictionary; both must always say the same. Seeds are printed.
@Suite struct StorePropertyTests {
    private struct Place: Hashable {
        let session: String
        let component: UInt16
        let offset: UInt64
    }

    private struct Expected {
        var chunks: [Place: (tokens: UInt32, bytes: [UInt8])] = [:]

        func overlaps(_ place: Place, tokens: UInt32) -> Bool {
            chunks.contains { other, chunk in
                guard other.session == place.session, other.component == place.component else { return false }
                if tokens == 0 { return other.offset == place.offset }
                return other.offset < place.offset + UInt64(tokens)
                    && place.offset < other.offset + UInt64(chunk.tokens)
            }
        }
    }

    @Test(arguments: 0..<4) func agreesWithADictionary(run: Int) throws {
        var generator = SeededGenerator(seed: testSeed("agreesWithADictionary") &+ UInt64(run))
        let fixture = try StoreFixture(shards: 1 + run % 2)
        var expected = Expected()
        var ids: [String: UInt64] = [:]
        for _ in 0..<600 {
            let name = "s\(Int.random(in: 0..<4, using: &generator))"
            let id = try ids[name] ?? fixture.session(name)
            ids[name] = id
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<60: try put(name, id, &expected, fixture, &generator)
            case 60..<70:
                let offset = UInt64.random(in: 0..<300, using: &generator)
                let gone = expected.chunks.filter {
                    $0.key.session == name && $0.key.offset + UInt64($0.value.tokens) > offset
                }
                try fixture.store.truncate(session: id, offset: offset)
                for place in gone.keys { expected.chunks[place] = nil }
            case 70..<74:
                try fixture.store.drop(session: id)
                ids[name] = nil
                expected.chunks = expected.chunks.filter { $0.key.session != name }
            case 74..<76: try fixture.reopen()
            default: try compare(name, id, expected, fixture)
            }
        }
        try fixture.reopen()
        for (name, id) in ids { try compare(name, id, expected, fixture) }
    }

    private func put(
        _ name: String, _ id: UInt64, _ expected: inout Expected, _ fixture: StoreFixture,
        _ generator: inout SeededGenerator
    ) throws {
        let component = UInt16.random(in: 0..<3, using: &generator)
        let tokens: UInt32 = component == 2 ? 0 : .random(in: 1...40, using: &generator)
        let place = Place(session: name, component: component, offset: .random(in: 0..<300, using: &generator))
        let count = StoreFixture.hybrid.components[Int(component)].byteCount(tokens: tokens)
        // Few different contents, so that equal bytes are put again now and then.
        let bytes = [UInt8](repeating: .random(in: 0..<2, using: &generator), count: count)
        let encoding = EncodingChoice.allCases.randomElement(using: &generator)!
        let outcome = code {
            try fixture.put(id, component: component, offset: place.offset, tokens: tokens, bytes, encoding: encoding)
        }
        if let stored = expected.chunks[place], stored.tokens == tokens {
            #expect(outcome == (stored.bytes == bytes ? nil : .conflict))
        } else if expected.overlaps(place, tokens: tokens) {
            #expect(outcome == .overlap)
        } else {
            #expect(outcome == nil)
            expected.chunks[place] = (tokens, bytes)
        }
    }

    private func compare(_ name: String, _ id: UInt64, _ expected: Expected, _ fixture: StoreFixture) throws {
        let mine = expected.chunks.filter { $0.key.session == name }
        let listed = try fixture.reader.chunks(session: id, from: ChunkPosition())
        #expect(Set(listed.map { Place(session: name, component: $0.component, offset: $0.offset) }) == Set(mine.keys))
        for (place, chunk) in mine {
            #expect(try fixture.get(id, component: place.component, offset: place.offset) == chunk.bytes)
        }
        try fixture.settle()
        let summary = try fixture.reader.sessions(namespace: "test", after: 0).sessions.first { $0.id == id }!
        #expect(summary.totals.chunks == UInt64(mine.count))
        #expect(summary.totals.rawBytes == mine.reduce(0) { $0 + UInt64($1.value.bytes.count) })
        #expect(try fixture.reader.verify(session: id, from: ChunkPosition()).damaged.isEmpty)
        let whole = mine.filter { $0.key.component == 0 }.sorted { $0.key.offset < $1.key.offset }
            .reduce(UInt64(0)) { $1.key.offset == $0 ? $0 + UInt64($1.value.tokens) : $0 }
        #expect(try fixture.reader.resume(session: id, atMost: .max).reaches[0].offset == whole)
    }
}
