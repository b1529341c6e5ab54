import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// SIGKILL at random moments of page-outs into a full store, in the midst of sweeps and rewrites: what was acknowledged is
/// there, byte for byte, or was evicted, and what is left of each session is a prefix.
@Suite(.serialized) struct SweepKillTests {
    private static let kills = 50
    private static let chunksPerSession = 24
    private static let model = ModelDeclaration(
        name: "kill",
        components: [Component(name: "kv", kind: .attention, elementType: .bytes, layers: 2, rowBytes: 512)])

    /// Chunks that were acknowledged as committed, of each session; and how many there were in all.
    private final class Journal: Sendable {
        let state = Monitor<(acknowledged: [String: Int], count: Int)>(([:], 0))
    }

    private static func bytes(_ session: String, _ index: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: session.utf8.reduce(UInt64(index)) { $0 &* 31 &+ UInt64($1) })
        return generator.bytes(model.components[0].byteCount(tokens: 16))
    }

    /// Writes session after session, and pages the first of all in again and again, until the daemon is gone.
    private static func write(round: Int, _ socket: String, _ journal: Journal) {
        do {
            let client = try Client(socketPath: socket, name: "writer")
            let modelID = try client.declare(model).modelID
            for number in 0..<1_000 {
                let name = "s\(round)-\(number)"
                let session = try client.openSession(namespace: "kill", name: name, modelID: modelID).session
                for start in stride(from: 0, to: chunksPerSession, by: 4) {
                    let pieces = (start..<start + 4).map {
                        SampleState.Piece(component: 0, offset: $0 * 16, tokens: 16, bytes: bytes(name, $0))
                    }
                    let results = try client.put(pieces, session: session)
                    guard results.allSatisfy({ $0.errorCode == nil }) else { continue }
                    journal.state.signal {
                        $0.acknowledged[name] = start + 4
                        $0.count += 4
                    }
                }
                let hot = try client.openSession(namespace: "kill", name: "s0-0", modelID: modelID).session
                _ = try client.resume(session: hot)
            }
        } catch { /* the daemon was killed */  }
    }

    @Test func losesNothingCommittedButByEviction() throws {
        var generator = SeededGenerator(seed: testSeed("losesNothingCommittedButByEviction"))
        let daemon = try TestDaemon.started(arguments: ["--cap", "12MiB"])
        let journal = Journal()
        var moved: UInt64 = 0
        var evicted: UInt64 = 0
        for kill in 0..<Self.kills {
            let socket = daemon.socket
            let writer = try WorkerThread(name: "writer") { Self.write(round: kill, socket, journal) }
            let wanted = journal.state.withLock { $0.count } + Int.random(in: 40...400, using: &generator)
            _ = journal.state.wait(until: Clock.deadline(seconds: 20)) { $0.count >= wanted ? true : nil }
            Clock.sleep(milliseconds: Int.random(in: 0...10, using: &generator))
            if let stat = try? daemon.connect().stat() {
                moved += stat["moved_bytes"]
                evicted += stat["evicted_cold_chunks"]
                #expect(stat["file_bytes"] <= 12 << 20)
            }
            #expect(daemon.end(signal: 9) == 137)
            writer.join()
            try daemon.start()
            try check(daemon, journal, kill: kill)
        }
        print("losesNothingCommittedButByEviction: \(evicted) chunks evicted, \(moved) bytes rewritten")
        #expect(evicted > 1_000 && moved > 0)
    }

    private func check(_ daemon: TestDaemon, _ journal: Journal, kill: Int) throws {
        let client = try daemon.connect()
        let sessions = try client.sessions(namespace: "kill")
        let known = Dictionary(uniqueKeysWithValues: sessions.map { ($0.name, $0.session) })
        let acknowledged = journal.state.withLock { $0.acknowledged }
        // The last written, where the kill struck, and the first, which is rewritten again and again.
        let names = acknowledged.keys.sorted().filter { $0 == "s0-0" || $0.hasPrefix("s\(kill)-") }
        for name in names {
            guard let session = known[name] else {
                Issue.record("kill \(kill): session \(name) is gone")
                continue
            }
            let stored = try client.chunks(session: session).map { Int($0.name.offset) / 16 }
            #expect(stored == Array(0..<stored.count), "kill \(kill): \(name) is no prefix")
            if stored.count < acknowledged[name]! {
                let explanation = try client.explain(session: session)
                // Evictions are remembered in bounded number, and the first session's are forgotten first.
                let isForgotten = name == "s0-0" && explanation.tracks[0].cause == .none
                #expect(
                    explanation.tracks[0].cause == .evicted || isForgotten,
                    "kill \(kill): \(name) ends at \(stored.count)")
            }
            for index in stored {
                let piece = SampleState.Piece(
                    component: 0, offset: index * 16, tokens: 16, bytes: Self.bytes(name, index))
                #expect(try client.get(piece, session: session) == piece.bytes, "kill \(kill): other bytes")
            }
            #expect(try client.verify(session: session).damaged.isEmpty)
        }
    }
}
