import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Page-outs that the daemon must refuse, delay or forget, over the socket.
@Suite struct PageOutTests {
    @Test func refusesWhatDoesNotFitWhatIsStored() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let state = try SampleState(directory: Repository.sampleDirectory)
        let session = try client.openGPL(state)
        let pieces = state.pieces(chunkTokens: 256)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        let first = pieces[0]
        var other = first.bytes
        other[1_000] ^= 1
        let tokenBytes = first.bytes.count / first.tokens
        func piece(_ offset: Int, _ tokens: Int, _ bytes: [UInt8]) -> SampleState.Piece {
            SampleState.Piece(component: 0, offset: offset, tokens: tokens, bytes: bytes)
        }
        let results = try client.put(
            [
                first, piece(0, first.tokens, other), piece(128, 8, Array(first.bytes.prefix(8 * tokenBytes))),
                piece(0, 256, Array(first.bytes.dropLast())),
                piece(1 << 41, 8, Array(first.bytes.prefix(8 * tokenBytes))),
            ], session: session)
        #expect(results.map(\.errorCode) == [nil, .conflict, .overlap, .wrongLength, .invalidArgument])
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
    }

    /// A queue that is full is told to the peer; what it was told is stored is stored, and nothing else.
    @Test func tellsOfAFullQueue() throws {
        let daemon = try TestDaemon.started(arguments: ["--queue", "1MiB", "--queue-wait-seconds", "0"])
        let client = try daemon.connect()
        let session = try client.openSession(
            namespace: "test", name: "w", modelID: client.declare(Wide.model).modelID
        ).session
        var generator = SeededGenerator(seed: testSeed("tellsOfAFullQueue"))
        let bytes = generator.bytes(Wide.bytes)
        var stored: Set<Int> = []
        var busy = 0
        for index in 0..<256 where busy < 3 {
            let result = try client.put([Wide.piece(index, bytes)], session: session, acknowledgement: .accepted)[0]
            switch result {
            case .success: stored.insert(index)
            case .failure(let error):
                #expect(error.code == .busy)
                busy += 1
            }
        }
        #expect(busy > 0 && !stored.isEmpty)
        // A sync goes through the same queue.
        while (try? client.synchronise()) == nil { Clock.sleep(milliseconds: 1) }
        #expect(try Set(client.chunks(session: session).map { Int($0.name.offset) / 16 }) == stored)
    }

    /// Peers that die in the middle of a page-out or a page-in leave nothing behind.
    @Test func forgetsPeersThatDieHalfway() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openSession(
            namespace: "test", name: "w", modelID: client.declare(Wide.model).modelID
        ).session
        var generator = SeededGenerator(seed: testSeed("forgetsPeersThatDieHalfway"))
        let bytes = generator.bytes(Wide.bytes)
        _ = try client.put([Wide.piece(0, bytes)], session: session)[0].get()
        let free = try client.stat()["inline_memory_free_bytes"]
        for index in 1...12 {
            let peer = try Peer(daemon)
            try peer.send(OpenArena(byteCount: 4 << 20).frame(requestID: 2))
            _ = try peer.receive()
            let item = PutItem(
                name: ChunkName(session: session, component: 0, offset: UInt64(index * 16)), tokens: 16,
                payload: Payload(byteCount: UInt64(Wide.bytes)))
            let put = Put(acknowledgement: .committed, encoding: .raw, items: [item])
            let get = GetIntoItem(
                item: GetItem(name: ChunkName(session: session, component: 0, offset: 0)),
                region: ArenaRegion(arena: 1, offset: 0), byteCount: UInt64(Wide.bytes))
            switch index % 3 {
            // Half of a payload, a whole put that nobody waits for, a hundred page-ins that nobody waits for.
            case 0: try peer.send(put.frame(requestID: 3, payloadBytes: Wide.bytes) + bytes[..<(Wide.bytes / 2)])
            case 1: try peer.send(put.frame(requestID: 3, payloadBytes: Wide.bytes) + bytes)
            default:
                for id in 0..<100 { try peer.send(GetInto(layerGroup: 1, items: [get]).frame(requestID: UInt64(id))) }
            }
        }
        let deadline = Clock.deadline(seconds: 60)
        var now = try client.stat()
        while now["connections"] != 1 || now["arenas"] != 0, Clock.now() < deadline {
            Clock.sleep(milliseconds: 5)
            now = try client.stat()
        }
        #expect(now["connections"] == 1 && now["arenas"] == 0 && now["arena_bytes"] == 0)
        #expect(now["inline_memory_free_bytes"] == free)
        let stored = try client.chunks(session: session).map { Int($0.name.offset) / 16 }
        #expect(stored.contains(0) && stored.allSatisfy { $0 == 0 || $0 % 3 == 1 })
        #expect(try client.verify(session: session).damaged.isEmpty)
    }
}
