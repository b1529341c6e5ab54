import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Frames that no client should send, against a live daemon: each is answered with its code, and nothing else suffers.
@Suite struct HostileFrameTests {
    private func frame(type: UInt16, _ body: [UInt8], flags: UInt16 = 0, bodyBytes: UInt32? = nil) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(bodyBytes ?? UInt32(body.count))
        writer.write(type)
        writer.write(flags)
        writer.write(UInt64(7))
        writer.write(raw: body)
        return writer.bytes
    }

    /// A bystander with state, and what it must still see at the end.
    private func bystander(_ daemon: TestDaemon) throws -> (Client, UInt64, [SampleState.Piece]) {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = Array(state.pieces(chunkTokens: 256).prefix(3))
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        return (client, session, pieces)
    }

    @Test func answersEachAndServesTheOthers() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try bystander(daemon)
        let put = Put(
            acknowledgement: .committed, encoding: .auto,
            items: [
                PutItem(
                    name: ChunkName(session: session, component: 0, offset: 0), tokens: 256,
                    payload: Payload(byteCount: 1_000))
            ])
        let cases: [(String, [UInt8], ErrorCode)] = [
            ("unknown type", frame(type: 0x7000, []), .unknownRequest),
            ("an answer as a request", frame(type: 0x8001, []), .unknownRequest),
            ("empty body", frame(type: MessageType.openSession.rawValue, []), .malformed),
            ("second handshake", Hello(clientName: "again").frame(requestID: 7), .handshake),
            ("payload beyond the frame", put.frame(requestID: 7), .malformed),
            ("bytes left over", frame(type: MessageType.stat.rawValue, [1]), .malformed),
            ("a million items", frame(type: MessageType.get.rawValue, [0x40, 0x42, 0x0F, 0]), .invalidArgument),
            (
                "empty session name", OpenSession(namespace: "n", name: "", modelID: 1).frame(requestID: 7),
                .invalidArgument
            ),
            (
                "long session name",
                OpenSession(namespace: "n", name: String(repeating: "x", count: 256), modelID: 1).frame(requestID: 7),
                .invalidArgument
            ),
            (
                "session name not UTF-8",
                frame(type: MessageType.openSession.rawValue, [1, 0, 0x6E, 2, 0, 0xC3, 0x28, 1, 0, 0, 0, 1]),
                .invalidArgument
            ),
            ("unknown model", OpenSession(namespace: "n", name: "s", modelID: 99).frame(requestID: 7), .unknownModel),
            (
                "model without components",
                DeclareModel(declaration: ModelDeclaration(name: "m", components: [])).frame(requestID: 7),
                .invalidModel
            ),
            ("unknown session", Resume(session: 12_345).frame(requestID: 7), .unknownSession),
            (
                "no namespace, not created",
                OpenSession(namespace: "none", name: "s", modelID: 1, create: false).frame(requestID: 7),
                .unknownSession
            ),
            ("session of no shard", Drop(session: 63).frame(requestID: 7), .unknownSession),
        ]
        let peer = try Peer(daemon)
        for (name, bytes, code) in cases {
            try peer.send(bytes)
            #expect(try peer.receiveRefusal() == code, "\(name)")
        }
        // A refusal that one item is to blame for names it.
        var two = put
        two.items.insert(PutItem(name: put.items[0].name, tokens: 0, payload: Payload(byteCount: 0)), at: 0)
        try peer.send(two.frame(requestID: 8))
        let refusal = try peer.receive()!.body.withUnsafeBytes { try Refusal(body: $0) }
        #expect(refusal.error.code == .malformed && refusal.item == 1)
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
        #expect(daemon.isRunning)
    }

    @Test func endsOnlyTheConnectionThatBreaksTheProtocol() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try bystander(daemon)
        let cases: [(String, [UInt8], Bool, ErrorCode)] = [
            ("frame too long", frame(type: 5, [], bodyBytes: .max), true, .frameTooLong),
            ("flags", frame(type: 12, [], flags: 1), true, .malformed),
            ("no handshake", frame(type: 12, []), false, .handshake),
            ("another magic", frame(type: 1, Array("HTTP/1.1 is not spoken".utf8)), false, .handshake),
            ("a browser", Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), false, .frameTooLong),
            (
                "versions to come", Hello(clientName: "x", oldestVersion: 2, newestVersion: 9).frame(requestID: 7),
                false, .protocolVersion
            ),
        ]
        for (name, bytes, greet, code) in cases {
            let peer = try Peer(daemon, greet: greet)
            try peer.send(bytes)
            #expect(try peer.receiveRefusal() == code, "\(name)")
            #expect(((try? peer.receive()) ?? nil) == nil, "\(name): the connection goes on")
        }
        // A frame that never comes whole.
        do {
            let peer = try Peer(daemon)
            try peer.send(Array(frame(type: 12, [], bodyBytes: 1_000).prefix(16)))
            peer.socket.shutdownSending()
            #expect(((try? peer.receive()) ?? nil) == nil)
        }
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
    }

    @Test func survivesRandomFrames() throws {
        var generator = SeededGenerator(seed: testSeed("survivesRandomFrames"))
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try bystander(daemon)
        let types = MessageType.allCases.filter { $0 != .hello }
        for _ in 0..<20 {
            let peer = try Peer(daemon)
            for _ in 0..<50 {
                let body = generator.bytes(Int.random(in: 0...200, using: &generator))
                try peer.send(frame(type: types.randomElement(using: &generator)!.rawValue, body))
                guard try peer.receive() != nil else { break }
            }
        }
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
        #expect(try client.verify(session: session).damaged.isEmpty)
        #expect(daemon.isRunning)
    }

    @Test func ignoresPeersThatDoNotRead() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try bystander(daemon)
        let peer = try Peer(daemon)
        let get = Get(items: [GetItem(name: ChunkName(session: session, component: 0, offset: 0))])
        // Answers of 128 KiB each that nobody reads: the daemon stops reading this peer, and no other.
        for id in 0..<64 { try peer.send(get.frame(requestID: UInt64(id))) }
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
        for result in try client.put(pieces, session: session) { #expect(result.errorCode == nil) }
    }
}
