import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// SIGKILL at random moments of a page-out: every acknowledged chunk is there after the restart, and none is damaged.
@Suite(.serialized) struct KillTests {
    /// Kills in one run; the fault harness of the long runs does more.
    private static let kills = 50

    private final class Journal: Sendable {
        /// Chunks that were acknowledged as committed, by index.
        let acknowledged = Monitor<Set<Int>>([])
    }

    @Test func losesNothingCommitted() throws {
        let seed = testSeed("losesNothingCommitted")
        var generator = SeededGenerator(seed: seed)
        let daemon = try TestDaemon.started(arguments: ["--cap", "1GiB"])
        let journal = Journal()
        var next = 0
        for kill in 0..<Self.kills {
            let socket = daemon.socket
            let first = next
            next += 200
            let writer = try WorkerThread(name: "writer") {
                Self.write(first..<first + 200, seed: seed, socket, journal)
            }
            // The moment counts in acknowledged chunks, so that it does not depend on the machine's speed.
            let before = journal.acknowledged.withLock { $0.count }
            let wanted = before + Int.random(in: 0...80, using: &generator)
            _ = journal.acknowledged.wait(until: Clock.deadline(seconds: 20)) { $0.count >= wanted ? true : nil }
            Clock.sleep(milliseconds: Int.random(in: 0...10, using: &generator))
            #expect(daemon.end(signal: 9) == 137)
            writer.join()
            try daemon.start()
            let client = try daemon.connect()
            try check(client, journal, seed: seed, kill: kill, generator: &generator)
        }
        let count = journal.acknowledged.withLock { $0.count }
        print("losesNothingCommitted: \(Self.kills) kills, \(count) acknowledged chunks, all there")
        #expect(count > Self.kills)
    }

    private static let model = ModelDeclaration(
        name: "kill",
        components: [Component(name: "kv", kind: .attention, elementType: .bf16, layers: 2, rowBytes: 256)])

    private static func bytes(_ index: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed &+ UInt64(index))
        let word = withUnsafeBytes(of: generator.next()) { Array($0) }
        return (0..<16_384).map { word[$0 % 8] ^ UInt8(truncatingIfNeeded: $0 / 8 * 7) }
    }

    /// Puts chunks a few at a time until the daemon is gone.
    private static func write(_ range: Range<Int>, seed: UInt64, _ socket: String, _ journal: Journal) {
        do {
            let client = try Client(socketPath: socket, name: "writer")
            let session = try client.openSession(
                namespace: "kill", name: "s", modelID: try client.declare(model).modelID
            ).session
            for start in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
                let indices = start..<min(start + 4, range.upperBound)
                let pieces = indices.map {
                    SampleState.Piece(component: 0, offset: $0 * 16, tokens: 16, bytes: bytes($0, seed: seed))
                }
                let results = try client.put(pieces, session: session)
                for (index, result) in zip(indices, results) where result.errorCode == nil {
                    _ = journal.acknowledged.signal { $0.insert(index) }
                }
            }
        } catch { /* the daemon was killed */  }
    }

    private func check(
        _ client: Client, _ journal: Journal, seed: UInt64, kill: Int, generator: inout SeededGenerator
    ) throws {
        let acknowledged = journal.acknowledged.withLock { $0 }
        guard let session = try client.sessions(namespace: "kill").first?.session else {
            #expect(acknowledged.isEmpty, "kill \(kill): the session is gone")
            return
        }
        let stored = Set(try client.chunks(session: session).map { Int($0.name.offset) / 16 })
        #expect(acknowledged.subtracting(stored).isEmpty, "kill \(kill): acknowledged chunks are gone")
        let verified = try client.verify(session: session)
        #expect(verified.damaged.isEmpty, "kill \(kill): damaged chunks")
        #expect(verified.checked == UInt64(stored.count))
        for index in stored.shuffled(using: &generator).prefix(20) {
            let piece = SampleState.Piece(
                component: 0, offset: index * 16, tokens: 16, bytes: Self.bytes(index, seed: seed))
            #expect(try client.get(piece, session: session) == piece.bytes, "kill \(kill): other bytes")
        }
    }
}
