import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// SIGKILL at random moments while the cap goes up and down: what was acknowledged is there or was evicted, by the store's own
/// word, and never other bytes.
@Suite(.serialized) struct CapKillTests {
    private static let kills = 24
    private static let chunks = 8

    /// Chunks that were acknowledged as committed, by session name.
    private typealias Journal = Monitor<[String: Int]>

    private static func piece(_ session: Int, _ index: Int) -> SampleState.Piece {
        var generator = SeededGenerator(seed: UInt64(session * chunks + index))
        var bytes: [UInt8] = []
        while bytes.count < 65_536 { withUnsafeBytes(of: generator.next()) { bytes += $0 } }
        return SampleState.Piece(component: 0, offset: index * 128, tokens: 128, bytes: bytes)
    }

    private static let model = ModelDeclaration(
        name: "cap",
        components: [Component(name: "kv", kind: .attention, elementType: .bf16, layers: 1, rowBytes: 256)])

    /// Puts sessions of a few chunks until the daemon is gone.
    private static func write(from first: Int, _ socket: String, _ journal: Journal) {
        do {
            let client = try Client(socketPath: socket, name: "writer")
            let model = try client.declare(model).modelID
            for number in first..<first + 10_000 {
                let name = "s\(number)"
                guard let session = try? client.openSession(namespace: "cap", name: name, modelID: model).session else {
                    // Full for the moment; or the daemon is gone, and then this throws.
                    _ = try client.stat()
                    continue
                }
                for index in 0..<chunks {
                    let result = try client.put([piece(number, index)], session: session)[0]
                    guard result.errorCode == nil else { break }
                    journal.signal { $0[name] = index + 1 }
                }
            }
        } catch { /* the daemon was killed */  }
    }

    /// Changes the cap all the time until the daemon is gone.
    private static func change(_ socket: String, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        do {
            let client = try Client(socketPath: socket, name: "operator")
            while true {
                do { try client.setCap(UInt64.random(in: 10...48, using: &generator) << 20) } catch {
                    guard case .refused = error else { throw error }
                }
                Clock.sleep(milliseconds: Int.random(in: 0...150, using: &generator))
            }
        } catch { /* the daemon was killed */  }
    }

    @Test func losesNothingButWhatIsEvicted() throws {
        let seed = testSeed("losesNothingButWhatIsEvicted")
        var generator = SeededGenerator(seed: seed)
        let place = try TemporaryDirectory()
        let file = place.path + "/larder.toml"
        func configure(_ cap: Int) throws { try FileSystem.write(Array("cap = \"\(cap)MiB\"\n".utf8), to: file) }
        try configure(48)
        let daemon = try TestDaemon.started(arguments: ["--config", file, "--log-level", "notice"])
        let journal = Journal([:])
        var evicted = 0
        var checked = 0
        for kill in 0..<Self.kills {
            let socket = daemon.socket
            let first = kill * 10_000
            let changes = generator.next()
            let writer = try WorkerThread(name: "writer") { Self.write(from: first, socket, journal) }
            let changer = try WorkerThread(name: "operator") { Self.change(socket, seed: changes) }
            Clock.sleep(milliseconds: Int.random(in: 50...600, using: &generator))
            #expect(daemon.end(signal: 9) == 137)
            writer.join()
            changer.join()
            let cap = Int.random(in: 10...48, using: &generator)
            try configure(cap)
            try daemon.start()
            let found = try check(try daemon.connect(), journal, kill: kill)
            evicted += found.evicted
            checked += found.chunks
            expectCap(daemon, cap << 20, kill: kill)
        }
        print("losesNothingButWhatIsEvicted: \(Self.kills) kills, \(checked) chunks checked, \(evicted) sessions cut")
        #expect(checked > 300 && evicted > 0)
    }

    /// The disk comes down to the cap that the daemon was started with.
    private func expectCap(_ daemon: TestDaemon, _ cap: Int, kill: Int) {
        let deadline = Clock.deadline(seconds: 30)
        while FileSpace.allocatedBytes(daemon.store) > cap, Clock.now() < deadline { Clock.sleep(milliseconds: 5) }
        #expect(FileSpace.allocatedBytes(daemon.store) <= cap, "kill \(kill)")
    }

    private func check(
        _ client: Client, _ journal: Journal, kill: Int
    ) throws -> (chunks: Int, evicted: Int) {
        let acknowledged = journal.withLock { $0 }
        var count = 0
        var evicted = 0
        for session in try client.sessions(namespace: "cap") {
            let number = Int(session.name.dropFirst())!
            let stored = try client.chunks(session: session.session).map { Int($0.name.offset) / 128 }
            #expect(stored == Array(0..<stored.count), "kill \(kill): \(session.name) has a hole")
            let verified = try client.verify(session: session.session)
            #expect(verified.damaged.isEmpty, "kill \(kill): damaged chunks in \(session.name)")
            if stored.count < acknowledged[session.name] ?? 0 {
                let causes = try client.explain(session: session.session).tracks.map(\.cause)
                #expect(causes == [.evicted], "kill \(kill): \(session.name) lost what was acknowledged")
                evicted += 1
            }
            for index in stored where (number + index) % 5 == 0 {
                let piece = Self.piece(number, index)
                do {
                    let found = try client.get(piece, session: session.session)
                    #expect(found == piece.bytes, "kill \(kill): other bytes")
                    count += 1
                } catch let error as LarderError where error.code == .miss { /* lowering goes on */  }
            }
        }
        let names = Set(try client.sessions(namespace: "cap").map(\.name))
        #expect(Set(acknowledged.keys).isSubset(of: names), "kill \(kill): sessions are gone")
        return (count, evicted)
    }
}
