import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// The daemon as its users see it: a process, a socket, a directory.
@Suite struct DaemonTests {
    @Test func restoresRealStateAfterSIGKILL() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = state.pieces(chunkTokens: 256)
        for result in try client.put(pieces, session: session) { #expect(try result.get() > 0) }
        #expect(daemon.end(signal: 9) == 137)
        try daemon.start()
        let again = try daemon.connect()
        #expect(again.welcome.storeID == client.welcome.storeID)
        #expect(try again.openGPL(state) == session)
        #expect(try again.resume(session: session).offset == 1_599)
        for piece in pieces { #expect(try again.get(piece, session: session) == piece.bytes) }
        #expect(try again.verify(session: session).checked == UInt64(pieces.count))
    }

    @Test func stopsWithinItsTimeAndKeepsWhatItAccepted() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started(arguments: ["--drain-seconds", "20"])
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = state.pieces(chunkTokens: 64)
        for result in try client.put(pieces, session: session, acknowledgement: .accepted) { _ = try result.get() }
        // A peer that reads nothing of its answers does not keep the daemon from its time.
        let silent = try Peer(daemon)
        let item = GetItem(name: ChunkName(session: session, component: 0, offset: 0))
        for id in 0..<64 { try silent.send(Get(items: [item, item]).frame(requestID: UInt64(id))) }
        let start = Clock.now()
        #expect(daemon.end(signal: 15) == 0)
        #expect(Clock.now() - start < 20_000_000_000)
        #expect(!FileSystem.exists(daemon.socket))
        try daemon.start()
        let again = try daemon.connect()
        for piece in pieces { #expect(try again.get(piece, session: session) == piece.bytes) }
        #expect(daemon.log.contains("stopped"))
    }

    @Test func answersItemsOneByOne() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        var pieces = state.pieces(chunkTokens: 256)
        pieces.append(SampleState.Piece(component: 0, offset: 100, tokens: 8, bytes: pieces[0].bytes))
        pieces.append(SampleState.Piece(component: 7, offset: 0, tokens: 8, bytes: []))
        let results = try client.put(pieces, session: session)
        #expect(results.prefix(pieces.count - 2).allSatisfy { (try? $0.get()) != nil })
        #expect(results.suffix(2).map(\.errorCode) == [.wrongLength, .unknownComponent])
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: pieces[0].bytes.count, alignment: 64)
        defer { room.deallocate() }
        let got = try client.get([
            PageIn(name: ChunkName(session: session, component: 0, offset: 5), destination: room),
            PageIn(name: ChunkName(session: session, component: 0, offset: 0), destination: room),
            PageIn(name: ChunkName(session: session + 64, component: 0, offset: 0), destination: room),
        ])
        #expect(got.map(\.errorCode) == [.miss, nil, .unknownSession])
        #expect(room.elementsEqual(pieces[0].bytes))
    }

    @Test func replacesAStaleSocketAndRefusesALiveOne() throws {
        let daemon = try TestDaemon.started()
        let other = try TestDaemon.run(
            "larderd", ["--socket", daemon.socket, "--data-dir", daemon.directory.path + "/other"])
        #expect(other.code == 1)
        #expect(other.output.contains("served by another daemon"))
        daemon.end(signal: 9)
        #expect(FileSystem.exists(daemon.socket))
        try daemon.start()
        let second = try TestDaemon.run(
            "larderd", ["--socket", daemon.directory.path + "/b.sock", "--data-dir", daemon.store])
        #expect(second.code == 1)
        #expect(second.output.contains("in use by process \(daemon.processID)"))
        let file = daemon.directory.path + "/plain"
        try FileSystem.write([1], to: file)
        let third = try TestDaemon.run("larderd", ["--socket", file, "--data-dir", daemon.directory.path + "/other"])
        #expect(third.code == 1 && third.output.contains("is no socket"))
    }

    @Test func refusesConnectionsBeyondItsLimit() throws {
        let daemon = try TestDaemon.started(arguments: ["--max-connections", "2"])
        // The connection that saw the daemon up is closed; its place may take a moment to be free.
        var kept: [Client] = []
        let deadline = Clock.deadline(seconds: 20)
        while kept.count < 2 && Clock.now() < deadline { if let client = try? daemon.connect() { kept.append(client) } }
        #expect(kept.count == 2)
        let third = Result { try Client(socketPath: daemon.socket, name: "third") }
        // The refusal may come before the handshake was written; then the socket is closed.
        switch third {
        case .success: Issue.record("a third connection was served")
        case .failure(let error):
            #expect("\(error)".contains("max_connections") || "\(error)".contains("reached"), "\(error)")
        }
        // The refused one is counted until it is gone.
        while try kept[0].stat()["connections"] != 2, Clock.now() < deadline { Clock.sleep(milliseconds: 1) }
        #expect(try kept[0].stat()["connections"] == 2)
    }

    @Test func pipelinesMoreGetsThanTheSocketHolds() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let small = ModelDeclaration(
            name: "small",
            components: [
                Component(name: "kv", kind: .attention, elementType: .bytes, layers: 1, planes: 1, rowBytes: 512)
            ])
        let session = try client.openSession(
            namespace: "test", name: "s", modelID: try client.declare(small).modelID
        ).session
        let pieces = (0..<8_000).map {
            SampleState.Piece(
                component: 0, offset: $0, tokens: 1,
                bytes: [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: 512))
        }
        for result in try client.put(pieces, session: session) { #expect(result.errorCode == nil) }
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 512 * pieces.count, alignment: 64)
        defer { room.deallocate() }
        let gets = pieces.map { piece in
            PageIn(
                name: ChunkName(session: session, component: 0, offset: UInt64(piece.offset)),
                destination: UnsafeMutableRawBufferPointer(
                    rebasing: room[piece.offset * 512..<(piece.offset + 1) * 512]))
        }
        for result in try client.get(gets) { #expect(result.errorCode == nil) }
        #expect(pieces.allSatisfy { room[$0.offset * 512] == $0.bytes[0] })
        #expect(try client.resume(session: session).offset == 8_000)
        try client.synchronise()
        let durable = try client.put([pieces[0]], session: session, acknowledgement: .durable)
        #expect(durable[0].errorCode == nil)
        #expect(try client.stat()["syncs"] >= 2)
    }

    @Test func answersGetsWhilePutsWaitForTheirCommit() throws {
        let daemon = try TestDaemon.started()
        let state = try SampleState(directory: Repository.sampleDirectory)
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let peer = try Peer(daemon)
        // Puts that wait for fdatasync, and a question behind them: some answer must overtake another.
        let piece = state.piece(component: 0, tokens: 0..<16)
        var overtaken = false
        for round in 0..<20 where !overtaken {
            let item = PutItem(
                name: ChunkName(session: session, component: 0, offset: UInt64(round * 16)), tokens: 16,
                payload: Payload(byteCount: UInt64(piece.bytes.count)))
            let put = Put(acknowledgement: .durable, encoding: .raw, items: [item])
            try peer.send(put.frame(requestID: 10, payloadBytes: piece.bytes.count) + piece.bytes)
            try peer.send(Stat().frame(requestID: 11))
            let ids = [try peer.receive()!.header.requestID, try peer.receive()!.header.requestID]
            #expect(ids.sorted() == [10, 11])
            overtaken = ids == [11, 10]
        }
        #expect(overtaken)
    }

    @Test func answersFullOverTheWire() throws {
        let daemon = try TestDaemon.started(arguments: ["--cap", "6MiB"])
        let client = try daemon.connect()
        let session = try client.openSession(
            namespace: "test", name: "flood", modelID: try client.declare(Wide.model).modelID
        ).session
        var generator = SeededGenerator(seed: 5)
        let pieces = (0..<16).map { Wide.piece(Int($0), generator.bytes(Wide.bytes)) }
        let results = try client.put(pieces, session: session, acknowledgement: .committed)
        #expect(results.contains { $0.errorCode == .full })
        for (piece, result) in zip(pieces, results) where result.errorCode == nil {
            #expect(try client.get(piece, session: session) == piece.bytes)
        }
        try client.drop(session: session)
        let next = try client.openSession(namespace: "test", name: "next", modelID: 1).session
        let again = try client.put([pieces[0]], session: next)[0]
        #expect(again.errorCode == nil, "\(again)")
        #expect(try client.stat()["file_bytes"] <= 6 << 20)
    }

    @Test func pipelinesManyConnections() throws {
        let daemon = try TestDaemon.started()
        let state = try SampleState(directory: Repository.sampleDirectory)
        let pieces = state.pieces(chunkTokens: 128)
        let failures = Monitor<[String]>([])
        let threads = 8
        let socket = daemon.socket
        let done = Monitor(0)
        for index in 0..<threads {
            try WorkerThread(name: "client-\(index)") {
                do {
                    let client = try Client(socketPath: socket, name: "client")
                    let model = try client.declare(state.model)
                    let session = try client.openSession(namespace: "test", name: "s\(index)", modelID: model.modelID)
                        .session
                    for result in try client.put(pieces, session: session) { _ = try result.get() }
                    for piece in pieces where try client.get(piece, session: session) != piece.bytes {
                        failures.withLock { $0.append("other bytes at \(piece.offset)") }
                    }
                } catch { failures.withLock { $0.append("\(error)") } }
                done.signal { $0 += 1 }
            }.detach()
        }
        _ = done.wait { $0 == threads ? true : nil }
        #expect(failures.withLock { $0 } == [])
        #expect(try daemon.connect().sessions().count == threads)
    }
}

/// A model of large incompressible chunks.
enum Wide {
    static let bytes = 1 << 20
    static let model = ModelDeclaration(
        name: "wide",
        components: [
            Component(name: "kv", kind: .attention, elementType: .bf16, layers: 1, planes: 1, rowBytes: 65_536)
        ])

    static func piece(_ index: Int, _ bytes: [UInt8]) -> SampleState.Piece {
        SampleState.Piece(component: 0, offset: index * 16, tokens: 16, bytes: bytes)
    }
}

extension Result where Failure == LarderError {
    var errorCode: ErrorCode? {
        if case .failure(let error) = self { error.code } else { nil }
    }
}

extension Client {
    func openGPL(_ state: SampleState) throws -> UInt64 {
        try openSession(namespace: "test", name: "gpl", modelID: declare(state.model).modelID).session
    }

    func put(
        _ pieces: [SampleState.Piece], session: UInt64, acknowledgement: Acknowledgement = .committed
    ) throws -> [Result<UInt64, LarderError>] {
        let buffers = pieces.map { piece in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.bytes.count, alignment: 64)
            buffer.copyBytes(from: piece.bytes)
            return buffer
        }
        defer { buffers.forEach { $0.deallocate() } }
        return try put(
            zip(pieces, buffers).map { piece, buffer in
                PageOut(
                    name: ChunkName(session: session, component: piece.component, offset: UInt64(piece.offset)),
                    tokens: UInt32(piece.tokens), bytes: UnsafeRawBufferPointer(buffer))
            }, acknowledgement: acknowledgement)
    }

    func get(_ piece: SampleState.Piece, session: UInt64) throws -> [UInt8] {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.bytes.count, alignment: 64)
        defer { room.deallocate() }
        let name = ChunkName(session: session, component: piece.component, offset: UInt64(piece.offset))
        _ = try get([PageIn(name: name, destination: room)])[0].get()
        return Array(room)
    }
}
