import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Layers that land one group after another, and state that is fetched before it is asked for.
@Suite struct ProgressTests {
    private static let layers = 6
    private static let model = ModelDeclaration(
        name: "layered",
        components: [
            Component(name: "kv", kind: .attention, elementType: .bf16, layers: 6, planes: 2, rowBytes: 1_024),
            Component(name: "state", kind: .recurrent, elementType: .f32, layers: 2, planes: 1, rowBytes: 4_096),
        ])

    /// Puts chunks of 256 tokens and a recurrent state, and returns their items with the bytes.
    private func put(_ client: Client) throws -> [(item: GetItem, bytes: [UInt8])] {
        let session = try client.openSession(
            namespace: "test", name: "layered", modelID: client.declare(Self.model).modelID
        ).session
        var generator = SeededGenerator(seed: testSeed("ProgressTests"))
        var pieces = (0..<4).map { index in
            SampleState.Piece(component: 0, offset: index * 256, tokens: 256, bytes: generator.bytes(6 << 19))
        }
        pieces.append(SampleState.Piece(component: 1, offset: 1_024, tokens: 0, bytes: generator.bytes(8_192)))
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        return pieces.map { piece in
            let name = ChunkName(session: session, component: piece.component, offset: UInt64(piece.offset))
            return (GetItem(name: name), piece.bytes)
        }
    }

    private func destinations(_ arena: Arena, _ chunks: [(item: GetItem, bytes: [UInt8])]) -> [ArenaPageIn] {
        var start = 0
        return chunks.map { chunk in
            defer { start += chunk.bytes.count }
            return ArenaPageIn(item: chunk.item, destination: arena.slice(start..<start + chunk.bytes.count))
        }
    }

    @Test(arguments: [1, 2, 4]) func landsLayersInOrder(group: UInt32) throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let chunks = try put(client)
        let arena = try client.openArena(byteCount: 16 << 20)
        let gets = destinations(arena, chunks)
        arena.bytes.initializeMemory(as: UInt8.self, repeating: 0xEE)
        var told: [UInt32] = []
        let results = try client.get(gets, layerGroup: group) { layers in
            told.append(layers)
            for (get, chunk) in zip(gets, chunks) {
                let all = chunk.item.name.component == 0 ? Self.layers : 2
                let count = chunk.bytes.count / all * min(Int(layers), all)
                #expect(get.destination.bytes[..<count].elementsEqual(chunk.bytes[..<count]))
            }
        }
        for result in results { _ = try result.get() }
        #expect(told == Array(stride(from: group, to: UInt32(Self.layers), by: Int(group))))
        for (get, chunk) in zip(gets, chunks) { #expect(get.destination.bytes.elementsEqual(chunk.bytes)) }
    }

    @Test func tellsNothingOnceAnItemIsMissing() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        var chunks = try put(client)
        chunks[2].item.name.offset = 77
        let arena = try client.openArena(byteCount: 16 << 20)
        let gets = destinations(arena, chunks)
        let results = try client.get(gets, layerGroup: 1) { _ in Issue.record("progress in spite of a miss") }
        #expect(results.map(\.errorCode) == [nil, nil, .miss, nil, nil])
        for index in [0, 1, 3, 4] { #expect(gets[index].destination.bytes.elementsEqual(chunks[index].bytes)) }
    }

    @Test func waitsForNoPeerThatDoesNotRead() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let chunks = try put(client)
        let peer = try Peer(daemon)
        try peer.send(OpenArena(byteCount: 16 << 20).frame(requestID: 2))
        _ = try peer.receive()
        let item = GetIntoItem(item: chunks[0].item, region: ArenaRegion(arena: 1, offset: 0), byteCount: 6 << 19)
        let requests = 120
        for id in 0..<requests { try peer.send(GetInto(layerGroup: 1, items: [item]).frame(requestID: UInt64(id))) }
        // Every answer is there in the end, in order, whatever was left out between them.
        var answered: UInt64 = 0
        while answered < UInt64(requests) {
            let frame = try #require(try peer.receive())
            #expect(frame.header.requestID == answered)
            if frame.header.type == GetInto.type.rawValue | FrameHeader.answerBit { answered += 1 }
        }
    }

    @Test func prefetchesFromDisk() throws {
        let daemon = try TestDaemon.started()
        var client = try daemon.connect()
        let chunks = try put(client)
        #expect(daemon.end(signal: 15) == 0)
        let file = daemon.store + "/shard-0/data.mdb"
        PageCache.drop(file)
        guard let cold = PageCache.residentShare(file), cold < 0.3 else {
            print("skipped: prefetchesFromDisk: this file system keeps its page cache")
            return
        }
        try daemon.start()
        client = try daemon.connect()
        let before = try #require(PageCache.residentShare(file))
        try client.prefetch(session: chunks[0].item.name.session)
        let deadline = Clock.deadline(seconds: 60)
        while PageCache.residentShare(file)! < 0.9, Clock.now() < deadline { Clock.sleep(milliseconds: 2) }
        #expect(PageCache.residentShare(file)! >= 0.9, "resident: \(cold), after the start \(before)")
        #expect(throws: ClientError.self) { try client.prefetch(session: chunks[0].item.name.session + 64) }
    }
}
