import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Prefix keys, explanations and plans over the socket.
@Suite struct SharingTests {
    private func key(_ number: Int) -> PrefixKey {
        var bytes = [UInt8](repeating: 0x5C, count: 32)
        for index in 0..<4 { bytes[index] = UInt8(number >> (8 * index) & 255) }
        return PrefixKey(bytes)!
    }

    @Test func sharesPrefixesAndMatchesAThousandKeysAtOnce() throws {
        let daemon = try TestDaemon.started(arguments: ["--shards", "2"])
        let client = try daemon.connect()
        let model = try client.declare(Wide.model)
        func open(_ name: String) throws -> UInt64 {
            try client.openSession(namespace: "test", name: name, modelID: model.modelID).session
        }
        func name(_ session: UInt64, _ index: Int) -> ChunkName {
            ChunkName(session: session, component: 0, offset: UInt64(index * 16))
        }
        let first = try open("first")
        let arena = try client.openArena(byteCount: 2 * Wide.bytes)
        var generator = SeededGenerator(seed: testSeed("SharingTests"))
        let bytes = (0..<2).map { _ in generator.bytes(Wide.bytes) }
        for index in 0..<2 {
            arena.slice(index * Wide.bytes..<(index + 1) * Wide.bytes).bytes.copyBytes(from: bytes[index])
        }
        let slices = (0..<2).map { arena.slice($0 * Wide.bytes..<($0 + 1) * Wide.bytes) }
        let puts = (0..<2).map {
            ArenaPageOut(name: name(first, $0), tokens: 16, source: slices[$0], prefixKey: key($0))
        }
        for result in try client.put(puts) { #expect(try result.get() > 0) }
        let keys = (0..<1_000).map { key($0) }
        func match() throws -> Int {
            try client.match(namespace: "test", modelID: model.modelID, component: 0, keys: keys)
        }
        #expect(try match() == 2)
        // Sessions in either shard take the chunks by their keys alone; a key that is not known wants the bytes.
        for number in 0..<6 {
            let session = try open("s\(number)")
            let known = (0..<3).map { PageOut(name: name(session, $0), tokens: 16, known: key($0)) }
            let results = try client.put(known)
            #expect(results.map(\.errorCode) == [nil, nil, .miss])
            for index in 0..<2 {
                #expect(try client.get(Wide.piece(index, bytes[index]), session: session) == bytes[index])
            }
        }
        #expect(try client.stat()["blobs"] <= 4)
        // The same key for other bytes is refused, and harms nobody.
        let clash = try bytes[1].withUnsafeBytes {
            try client.put([PageOut(name: name(first, 2), tokens: 16, bytes: $0, naming: .key(key(0)))])
        }
        #expect(clash.map(\.errorCode) == [.conflict])
        #expect(try client.get(Wide.piece(0, bytes[0]), session: first) == bytes[0])
        #expect(daemon.end(signal: 9) == 137)
        try daemon.start()
        let again = try daemon.connect()
        #expect(try again.match(namespace: "test", modelID: model.modelID, component: 0, keys: keys) == 2)
        for session in try again.sessions() { #expect(try again.verify(session: session.session).damaged.isEmpty) }
    }

    @Test func explainsToAPerson() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openSession(
            namespace: "test", name: "holes", modelID: client.declare(Wide.model).modelID
        ).session
        let bytes = [UInt8](repeating: 9, count: Wide.bytes)
        for index in [0, 1, 3] {
            for result in try client.put([Wide.piece(index, bytes)], session: session) { _ = try result.get() }
        }
        let answer = try client.explain(session: session)
        #expect(answer.end == 64 && answer.offset == 32 && answer.missingRanks.isEmpty)
        #expect(answer.tracks.map(\.cause) == [.neverStored])
        #expect(answer.tracks[0].missingFrom == 32 && answer.tracks[0].missingTo == 48)
        let printed = try TestDaemon.run("larderctl", ["explain", "test/holes", "--socket", daemon.socket])
        #expect(printed.code == 0)
        #expect(printed.output.contains("resume point 32 of 64 tokens"), "\(printed.output)")
        #expect(printed.output.contains("tokens 32..<48: never put, or truncated"), "\(printed.output)")
        let json = try TestDaemon.run(
            "larderctl", ["explain", "test/holes", "--at", "32", "--json", "--socket", daemon.socket])
        #expect(json.code == 0 && json.output.contains("\"cause\" : \"none\""), "\(json.output)")
        #expect(try client.planSnapshots(session: session, length: 100, boundary: 16).isEmpty)
        #expect(throws: ClientError.self) { try client.planSnapshots(session: session, length: 100, boundary: 0) }
        let resume = try client.resume(session: session, prefillRate: 1)
        #expect(resume.cheapestOffset == 32 && resume.rawBytes == UInt64(2 * Wide.bytes) && resume.loadMicroseconds > 0)
    }
}
