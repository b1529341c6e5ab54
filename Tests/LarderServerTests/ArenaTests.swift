import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Shared memory between client and daemon: exact, bounded, and of no harm to anybody else.
@Suite struct ArenaTests {
    private func setUp(_ daemon: TestDaemon) throws -> (Client, UInt64, [SampleState.Piece]) {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let client = try daemon.connect()
        return (client, try client.openGPL(state), state.pieces(chunkTokens: 256))
    }

    /// Puts pieces into an arena one behind the other.
    private func fill(_ arena: Arena, _ pieces: [SampleState.Piece]) -> [ArenaSlice] {
        var start = 0
        return pieces.map { piece in
            let slice = arena.slice(start..<start + piece.bytes.count)
            slice.bytes.copyBytes(from: piece.bytes)
            start += piece.bytes.count
            return slice
        }
    }

    private func name(_ piece: SampleState.Piece, _ session: UInt64) -> ChunkName {
        ChunkName(session: session, component: piece.component, offset: UInt64(piece.offset))
    }

    private func roundTrip(_ client: Client, _ session: UInt64, _ pieces: [SampleState.Piece], _ arena: Arena) throws {
        let slices = fill(arena, pieces)
        let puts = zip(pieces, slices).map {
            ArenaPageOut(name: name($0, session), tokens: UInt32($0.tokens), source: $1)
        }
        for result in try client.put(puts) { #expect(try result.get() > 0) }
        arena.bytes.initializeMemory(as: UInt8.self, repeating: 0xEE)
        let gets = zip(pieces, slices).map { ArenaPageIn(item: GetItem(name: name($0, session)), destination: $1) }
        for result in try client.get(gets) { _ = try result.get() }
        for (piece, slice) in zip(pieces, slices) { #expect(slice.bytes.elementsEqual(piece.bytes)) }
    }

    @Test func pagesThroughTheDaemonsMemory() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try setUp(daemon)
        #expect(client.hasArenas)
        try roundTrip(client, session, pieces, try client.openArena(byteCount: 8 << 20))
    }

    @Test func pagesThroughTheClientsMemory() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try setUp(daemon)
        let memory = try SharedMemory.create(name: "pool", byteCount: 8 << 20)
        try roundTrip(client, session, pieces, try client.registerArena(memory))
    }

    @Test func readsLayersIntoTheirRegion() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try setUp(daemon)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        let piece = pieces.first { $0.component == 1 }!
        let arena = try client.openArena(byteCount: 1 << 20)
        arena.bytes.initializeMemory(as: UInt8.self, repeating: 0xEE)
        let layer = piece.bytes.count / 4
        let item = GetItem(name: name(piece, session), firstLayer: 2, layers: 1)
        let result = try client.get([ArenaPageIn(item: item, destination: arena.slice(4_096..<4_096 + layer))])[0]
        #expect(try result.get() == UInt32(piece.tokens))
        #expect(arena.bytes[4_096..<4_096 + layer].elementsEqual(piece.bytes[2 * layer..<3 * layer]))
        #expect(arena.bytes[..<4_096].allSatisfy { $0 == 0xEE })
        #expect(arena.bytes[(4_096 + layer)...].allSatisfy { $0 == 0xEE })
        let small = try client.get([ArenaPageIn(item: item, destination: arena.slice(0..<layer - 1))])[0]
        #expect(small.errorCode == .wrongLength)
    }

    @Test func refusesRegionsOutsideAndOverlapping() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try setUp(daemon)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        _ = try client.openArena(byteCount: 1 << 20)
        let peer = try Peer(daemon)
        try peer.send(OpenArena(byteCount: 1 << 20).frame(requestID: 2))
        #expect(try peer.receive()?.header.type == MessageType.openArena.rawValue | FrameHeader.answerBit)
        let item = GetItem(name: name(pieces[0], session))
        func into(_ arena: UInt32, _ offset: UInt64, _ bytes: UInt64) -> GetIntoItem {
            GetIntoItem(item: item, region: ArenaRegion(arena: arena, offset: offset), byteCount: bytes)
        }
        for bad in [into(1, 1 << 20, 1), into(1, 1 << 19, 1 << 20), into(1, .max, 2), into(1, 2, .max), into(2, 0, 1)] {
            try peer.send(GetInto(items: [bad]).frame(requestID: 3))
            let answer = try peer.receive()!
            let results = try answer.body.withUnsafeBytes { try GetAnswer(body: $0).results }
            #expect(results.map(\.status.error?.code) == [.invalidArgument])
            let payload = Payload(byteCount: bad.byteCount, region: bad.region)
            let put = Put(
                acknowledgement: .committed, encoding: .auto,
                items: [PutItem(name: item.name, tokens: 256, payload: payload)])
            try peer.send(put.frame(requestID: 4))
            #expect(try peer.receiveRefusal() == .invalidArgument)
        }
        try peer.send(GetInto(items: [into(1, 0, 300_000), into(1, 299_999, 300_000)]).frame(requestID: 5))
        #expect(try peer.receiveRefusal() == .invalidArgument)
        #expect(try client.get(pieces[0], session: session) == pieces[0].bytes)
    }

    @Test func refusesWhatIsNoSealedMemory() throws {
        let daemon = try TestDaemon.started()
        let peer = try Peer(daemon)
        func register(_ descriptor: borrowing Descriptor) throws -> ErrorCode? {
            let frame = RegisterArena(byteCount: 4_096).frame(requestID: 2)
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 8)
            defer { bytes.deallocate() }
            bytes.copyBytes(from: frame)
            try peer.socket.send(UnsafeRawBufferPointer(bytes), passing: descriptor)
            return try peer.receiveRefusal()
        }
        let file = daemon.directory.path + "/plain"
        try FileSystem.write([UInt8](repeating: 0, count: 4_096), to: file)
        let plain = try Descriptor.open(file, flags: 0)
        #expect(try register(plain) == .invalidArgument)
        let unsealed = try SharedMemory.unsealed(byteCount: 4_096)
        #expect(try register(unsealed) == .invalidArgument)
        // None at all, and one of another size than the request says.
        try peer.send(RegisterArena(byteCount: 4_096).frame(requestID: 2))
        #expect(try peer.receiveRefusal() == .invalidArgument)
        // Sealed memory, but of another size than the request says, or with a second descriptor beside it.
        let frame = RegisterArena(byteCount: 4_096).frame(requestID: 2)
        let larger = try SharedMemory.create(name: "larger", byteCount: 8_192)
        try peer.send(frame, with: larger)
        #expect(try peer.receiveRefusal() == .invalidArgument)
        let right = try SharedMemory.create(name: "right", byteCount: 4_096)
        try peer.send(Array(frame[..<4]), with: right)
        try peer.send(Array(frame[4...]), with: right)
        #expect(try peer.receiveRefusal() == .invalidArgument)
        try peer.send(frame, with: right)
        #expect(try peer.receive()?.header.type == MessageType.registerArena.rawValue | FrameHeader.answerBit)
        // More than any request takes: the connection ends, and no other.
        for byte in frame.prefix(5) { try peer.send([byte], with: right) }
        try? peer.send(Array(frame[5...]))
        #expect(((try? peer.receive()) ?? nil) == nil)
        #expect(throws: ClientError.self) {
            try daemon.connect().openArena(byteCount: 0)
        }
        #expect(daemon.isRunning)
    }

    @Test func boundsArenasAndFreesThemWithTheirPeer() throws {
        let daemon = try TestDaemon.started(arguments: ["--arena-memory", "64MiB"])
        let admin = try daemon.connect()
        do {
            let client = try daemon.connect()
            let first = try client.openArena(byteCount: 24 << 20)
            #expect(throws: ClientError.self) { try client.openArena(byteCount: 9 << 20) }
            #expect(throws: ClientError.self) { try client.openArena(byteCount: 0) }
            #expect(throws: ClientError.self) { try client.openArena(byteCount: 1 << 50) }
            try client.close(first)
            for _ in 0..<16 { _ = try client.openArena(byteCount: 4_096) }
            #expect(throws: ClientError.self) { try client.openArena(byteCount: 4_096) }
            #expect(try admin.stat()["arenas"] == 16)
        }
        let deadline = Clock.deadline(seconds: 20)
        while try admin.stat()["arenas"] > 0, Clock.now() < deadline { Clock.sleep(milliseconds: 5) }
        #expect(try admin.stat()["arena_bytes"] == 0)
    }

    @Test func survivesAnArenaThatChangesDuringAPageOut() throws {
        let daemon = try TestDaemon.started()
        let (client, session, pieces) = try setUp(daemon)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        let arena = try client.openArena(byteCount: Wide.bytes)
        let wide = try client.openSession(namespace: "test", name: "w", modelID: client.declare(Wide.model).modelID)
            .session
        let bytes = UInt(bitPattern: arena.bytes.baseAddress)
        let stop = Monitor(false)
        let scribbler = try WorkerThread(name: "scribbler") {
            var generator = SeededGenerator(seed: 3)
            let memory = UnsafeMutablePointer<UInt64>(bitPattern: bytes)!
            while !stop.withLock({ $0 }) {
                for _ in 0..<1_000 { memory[Int.random(in: 0..<Wide.bytes / 8, using: &generator)] = generator.next() }
            }
        }
        var stored = 0
        for index in 0..<32 {
            let encoding = EncodingChoice.allCases[index % 4]
            let put = ArenaPageOut(
                name: ChunkName(session: wide, component: 0, offset: UInt64(index * 16)), tokens: 16,
                source: arena.slice(0..<Wide.bytes))
            stored += try client.put([put], encoding: encoding)[0].errorCode == nil ? 1 : 0
        }
        stop.signal { $0 = true }
        scribbler.join()
        #expect(stored == 32)
        #expect(try client.verify(session: wide).damaged.isEmpty)
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
    }
}
