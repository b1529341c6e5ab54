import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// A store at its cap, sessions of chunks of 64 KiB in it, and hints about them.
struct HintFixture {
    static let tokens: UInt32 = 256
    let fixture: StoreFixture

    init(capBytes: Int = 8 << 20, shards: Int = 1) throws {
        fixture = try StoreFixture(capBytes: capBytes, shards: shards)
    }

    var store: Store { fixture.store }

    static func bytes(_ seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return generator.bytes(StoreFixture.hybrid.components[0].byteCount(tokens: tokens))
    }

    /// A chunk's content follows from its session and number.
    func bytes(_ session: UInt64, _ index: UInt64) -> [UInt8] { Self.bytes(session << 20 | index) }

    /// A session of so many chunks of attention.
    func session(_ name: String, chunks: UInt64, namespace: String = "test") throws -> UInt64 {
        let session = try fixture.session(name, namespace: namespace)
        try grow(session, to: 0..<chunks)
        return session
    }

    func grow(_ session: UInt64, to chunks: Range<UInt64>) throws {
        for index in chunks {
            try fixture.put(
                session, component: 0, offset: index * UInt64(Self.tokens), tokens: Self.tokens, bytes(session, index))
        }
    }

    /// Puts chunks in one request; returns how many were stored.
    func burst(_ session: UInt64, chunks: UInt64) throws -> Int {
        let outcome = Monitor<[Store.PageOutResult]?>(nil)
        let raw = (0..<chunks).map { bytes(session, $0) }
        let all = UnsafeMutableRawBufferPointer.allocate(byteCount: raw.count * raw[0].count, alignment: 64)
        defer { all.deallocate() }
        let items = raw.indices.map { index in
            let place = UnsafeMutableRawBufferPointer(rebasing: all[index * raw[0].count..<(index + 1) * raw[0].count])
            place.copyBytes(from: raw[index])
            return PageOutItem(
                session: session, rank: 0, component: 0, offset: UInt64(index) * UInt64(Self.tokens),
                tokens: Self.tokens, bytes: UnsafeRawBufferPointer(place))
        }
        store.pageOut(items, encoding: .raw, acknowledgement: .committed, reader: fixture.reader) { results in
            outcome.signal { $0 = results }
        }
        return outcome.wait { $0 }!.count { (try? $0.get()) != nil }
    }

    /// New sessions, one after another, that take about as much as the store holds.
    func flood(_ name: String, chunks: UInt64 = 160) throws {
        for number in 0..<chunks / 10 { _ = try session("\(name)\(number)", chunks: 10) }
    }

    /// How many chunks of a session are left; each must be what was put, and all a prefix.
    func left(_ session: UInt64, as owner: UInt64? = nil) throws -> UInt64 {
        let chunks = try fixture.reader.chunks(session: session, from: ChunkPosition())
        for (index, chunk) in chunks.enumerated() {
            #expect(chunk.offset == UInt64(index) * UInt64(Self.tokens))
            let isWhole =
                try fixture.get(session, component: 0, offset: chunk.offset) == bytes(owner ?? session, UInt64(index))
            #expect(isWhole, "chunk \(index) of session \(session)")
        }
        return UInt64(chunks.count)
    }

    func hint(
        _ kind: HintKind, _ session: UInt64, from: UInt64 = 0, to: UInt64 = .max, priority: Int8 = 0,
        seconds: UInt32 = 0, reader: StoreReader? = nil
    ) throws -> HintResult {
        let hint = Hint(kind, .session(session, from: from, to: to), priority: priority, seconds: seconds)
        return try (reader ?? fixture.reader).hint([hint])[0]
    }

    func statistic(_ name: String) -> UInt64 { store.statistics().first { $0.name == name }?.value ?? 0 }
}
