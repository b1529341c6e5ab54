import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Forks, truncates and drops as a worker uses them: through the socket of a real daemon.
@Suite(.serialized) struct ForkTests {
    /// Tokens of a chunk.
    private static let step = 16
    private static let model = ModelDeclaration(
        name: "forks",
        components: [
            Component(name: "kv", kind: .attention, elementType: .bytes, layers: 1, planes: 1, rowBytes: 64)
        ])

    /// The chunk of an index, with bytes that `seed` decides.
    private static func piece(_ index: Int, seed: UInt64) -> SampleState.Piece {
        var generator = SeededGenerator(seed: seed << 32 | UInt64(index))
        return SampleState.Piece(
            component: 0, offset: index * step, tokens: step, bytes: generator.bytes(64 * step))
    }

    private static func put(_ client: Client, _ session: UInt64, _ indices: Range<Int>, seed: UInt64) throws {
        for result in try client.put(indices.map { piece($0, seed: seed) }, session: session) { _ = try result.get() }
    }

    /// Throws unless the session holds exactly these chunks.
    private static func check(
        _ client: Client, _ session: UInt64, _ seeds: [UInt64], _ label: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let resume = try client.resume(session: session)
        #expect(resume.offset == UInt64(seeds.count * step), "\(label)", sourceLocation: sourceLocation)
        #expect(try client.chunks(session: session).count == seeds.count, "\(label)", sourceLocation: sourceLocation)
        for (index, seed) in seeds.enumerated() {
            let piece = piece(index, seed: seed)
            #expect(
                try client.get(piece, session: session) == piece.bytes, "\(label), chunk \(index)",
                sourceLocation: sourceLocation)
        }
        #expect(try client.verify(session: session).damaged.isEmpty, "\(label)", sourceLocation: sourceLocation)
    }

    private static func open(_ client: Client, _ name: String, create: Bool = true) throws -> SessionOpened {
        try client.openSession(
            namespace: "test", name: name, modelID: try client.declare(model).modelID, create: create)
    }

    /// The code with which the daemon refuses.
    private static func refusal(_ body: () throws -> Void) -> ErrorCode? {
        do { try body() } catch ClientError.refused(let error) { return error.code } catch {
            Issue.record("\(error)")
        }
        return nil
    }

    /// Runs `body` in so many threads at once, and waits for all.
    private static func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
        let done = Monitor(0)
        for index in 0..<count {
            try WorkerThread(name: "client-\(index)") {
                body(index)
                done.signal { $0 += 1 }
            }.detach()
        }
        _ = done.wait { $0 == count ? true : nil }
    }

    @Test func sharesAndThenDiverges() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let other = try daemon.connect()
        let parent = try Self.open(client, "parent").session
        try Self.put(client, parent, 0..<4, seed: 1)
        let child = try client.fork(session: parent, offset: 32, name: "child")
        try Self.check(other, child, [1, 1])
        #expect(try client.stat()["blobs"] == 4)
        // Each writes on over the same tokens; the other connection has seen both before.
        try Self.put(client, child, 2..<5, seed: 2)
        try Self.put(client, parent, 4..<6, seed: 3)
        try Self.check(other, child, [1, 1, 2, 2, 2])
        try Self.check(other, parent, [1, 1, 1, 1, 3, 3])
        // A fork between chunks shares only those that end there or before.
        let inside = try client.fork(session: child, offset: 47, name: "inside")
        try Self.check(other, inside, [1, 1])
        // What a parent gets below the fork's offset after the fork is not the fork's.
        try client.truncate(session: parent, offset: 16)
        try Self.put(client, parent, 1..<3, seed: 4)
        try Self.check(other, parent, [1, 4, 4])
        try Self.check(other, child, [1, 1, 2, 2, 2])
        try Self.check(other, inside, [1, 1])
        #expect(try Self.open(client, "child", create: false).session == child)
    }

    @Test func eitherMayGoFirst() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        func blobs() throws -> UInt64 {
            let deadline = Clock.deadline(seconds: 30)
            while try client.stat()["graves"] > 0, Clock.now() < deadline { Clock.sleep(milliseconds: 2) }
            return try client.stat()["blobs"]
        }
        let first = try Self.open(client, "first").session
        try Self.put(client, first, 0..<10, seed: 1)
        let second = try client.fork(session: first, offset: 64, name: "second")
        try Self.put(client, second, 4..<6, seed: 2)
        // The parent goes: the child's chunks stay, the others are freed.
        try client.drop(session: first)
        #expect(try blobs() == 6)
        try Self.check(client, second, [1, 1, 1, 1, 2, 2])
        #expect(Self.refusal { _ = try client.fork(session: first, offset: 0, name: "late") } == .unknownSession)
        // The child goes: the parent's chunks stay.
        let third = try client.fork(session: second, offset: 80, name: "third")
        try Self.put(client, third, 5..<9, seed: 3)
        try client.drop(session: third)
        #expect(try blobs() == 6)
        try Self.check(client, second, [1, 1, 1, 1, 2, 2])
        try client.drop(session: second)
        #expect(try blobs() == 0)
        #expect(try client.stat()["lines"] == 0)
    }

    @Test func refusesWhatCannotBe() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let parent = try Self.open(client, "parent").session
        try Self.put(client, parent, 0..<2, seed: 1)
        func fork(_ session: UInt64, _ offset: UInt64, _ name: String) -> ErrorCode? {
            Self.refusal { _ = try client.fork(session: session, offset: offset, name: name) }
        }
        #expect(fork(parent, 33, "beyond") == .invalidArgument)
        #expect(fork(parent, .max, "beyond") == .invalidArgument)
        #expect(fork(parent, 16, "parent") == .exists)
        #expect(fork(parent, 16, "") == .invalidArgument)
        #expect(fork(parent &+ 64, 0, "x") == .unknownSession)
        #expect(fork(.max, 0, "x") == .unknownSession)
        #expect(fork(parent, 32, "child") == nil)
        #expect(fork(parent, 0, "child") == .exists)
        // Refused forks leave nothing behind.
        #expect(try client.sessions().map(\.name).sorted() == ["child", "parent"])
        // A dropped fork's name is free; what takes it is another session.
        let child = try Self.open(client, "child", create: false).session
        try client.drop(session: child)
        let again = try client.fork(session: parent, offset: 16, name: "child")
        #expect(again != child)
        try Self.check(client, again, [1])
        #expect(fork(child, 0, "y") == .unknownSession)
        try client.drop(session: again)
        #expect(try Self.open(client, "child").created)
    }

    @Test func forksOneSessionTenThousandTimes() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let parent = try Self.open(client, "parent").session
        try Self.put(client, parent, 0..<8, seed: 1)
        let forks = Monitor<[UInt64]>([])
        let failures = Monitor<[String]>([])
        let socket = daemon.socket
        try Self.inThreads(8) { thread in
            do {
                let client = try Client(socketPath: socket, name: "fork")
                for index in 0..<1_250 {
                    let id = try client.fork(session: parent, offset: 64, name: "f-\(thread)-\(index)")
                    forks.withLock { $0.append(id) }
                }
            } catch { failures.withLock { $0.append("\(error)") } }
        }
        #expect(failures.withLock { $0 } == [])
        let all = forks.withLock { $0 }
        #expect(Set(all).count == 10_000)
        #expect(try client.stat()["blobs"] == 8)
        #expect(try client.sessions().count == 10_001)
        var generator = SeededGenerator(seed: testSeed("forksOneSessionTenThousandTimes"))
        let some = Array(all.shuffled(using: &generator).prefix(200))
        for session in some.prefix(5) { try Self.put(client, session, 4..<6, seed: session) }
        for session in some.dropFirst(100) { try client.drop(session: session) }
        try Self.check(client, parent, [UInt64](repeating: 1, count: 8))
        for session in some.prefix(5) { try Self.check(client, session, [1, 1, 1, 1, session, session]) }
        try Self.check(client, some[50], [1, 1, 1, 1])
        try client.drop(session: parent)
        try Self.check(client, some[50], [1, 1, 1, 1])
    }

    @Test func survivesSIGKILL() throws {
        var generator = SeededGenerator(seed: testSeed("ForkTests.survivesSIGKILL"))
        let daemon = try TestDaemon.started(arguments: ["--shards", "2"])
        var root = try Self.open(try daemon.connect(), "root").session
        try Self.put(try daemon.connect(), root, 0..<4, seed: 1)
        /// What each acknowledged session holds, by id.
        let known = Monitor<[UInt64: (name: String, seeds: [UInt64])]>([root: ("root", [1, 1, 1, 1])])
        for kill in 0..<10 {
            let socket = daemon.socket
            let start = root
            let before = known.withLock { $0.count }
            let writer = try WorkerThread(name: "forker") {
                do {
                    let client = try Client(socketPath: socket, name: "forker")
                    var session = start
                    for index in 0..<10_000 {
                        let seeds = known.withLock { $0[session]!.seeds }
                        let shared = max(1, seeds.count - index % 3)
                        let name = "k\(kill)-\(index)"
                        let fork = try client.fork(session: session, offset: UInt64(shared * Self.step), name: name)
                        var own = Array(seeds[..<shared])
                        known.signal { $0[fork] = (name, own) }
                        let seed = UInt64(100 + kill * 10_000 + index)
                        try Self.put(client, fork, shared..<shared + 2, seed: seed)
                        own += [seed, seed]
                        known.withLock { $0[fork]!.seeds = own }
                        session = fork
                    }
                } catch { /* the daemon was killed */  }
            }
            let wanted = before + Int.random(in: 1...30, using: &generator)
            _ = known.wait(until: Clock.deadline(seconds: 20)) { $0.count >= wanted ? true : nil }
            Clock.sleep(milliseconds: Int.random(in: 0...3, using: &generator))
            #expect(daemon.end(signal: 9) == 137)
            writer.join()
            try daemon.start()
            let client = try daemon.connect()
            let expected = known.withLock { $0 }
            let names = Dictionary(uniqueKeysWithValues: try client.sessions().map { ($0.session, $0.name) })
            for (session, held) in expected {
                #expect(names[session] == held.name, "kill \(kill): an acknowledged fork is gone")
                // A put that was not answered may be there.
                let chunks = try client.chunks(session: session).count
                #expect(chunks == held.seeds.count || (chunks <= held.seeds.count + 2 && chunks > held.seeds.count))
                for (index, seed) in held.seeds.enumerated() {
                    let piece = Self.piece(index, seed: seed)
                    #expect(try client.get(piece, session: session) == piece.bytes, "kill \(kill), \(held.name)")
                }
            }
            // On from one whose chunks are all known.
            let whole = try expected.keys.sorted().filter {
                try client.chunks(session: $0).count == expected[$0]!.seeds.count
            }
            root = whole.last ?? root
        }
    }

    @Test func livesInItsParentsShard() throws {
        let daemon = try TestDaemon.started(arguments: ["--shards", "4"])
        let client = try daemon.connect()
        // The low bits of an id name the shard.
        let parents = try (0..<8).map { try Self.open(client, "parent-\($0)").session }
        #expect(Set(parents.map { $0 % 64 }).count > 1)
        for (index, parent) in parents.enumerated() {
            try Self.put(client, parent, 0..<2, seed: UInt64(index))
            for fork in 0..<8 {
                let name = "fork-\(index)-\(fork)"
                let id = try client.fork(session: parent, offset: 32, name: name)
                #expect(id % 64 == parent % 64)
                let opened = try Self.open(client, name)
                #expect(opened.session == id && !opened.created)
            }
        }
        let names = try client.sessions().map(\.name)
        #expect(names.count == 72 && Set(names).count == 72)
        // A name that is taken in one shard is taken for a fork in any other.
        for parent in parents {
            #expect(Self.refusal { _ = try client.fork(session: parent, offset: 0, name: "fork-0-0") } == .exists)
            #expect(Self.refusal { _ = try client.fork(session: parent, offset: 0, name: "parent-7") } == .exists)
        }
        try Self.race(daemon, parents)
        let after = try client.sessions().map(\.name)
        #expect(after.count == Set(after).count, "a name exists twice")
        daemon.end(signal: 9)
        try daemon.start()
        let again = try daemon.connect()
        for (index, parent) in parents.enumerated() {
            let fork = try Self.open(again, "fork-\(index)-3", create: false).session
            #expect(fork % 64 == parent % 64)
            try Self.check(again, fork, [UInt64(index), UInt64(index)])
        }
    }

    /// Forks and openings of the same names at once, in all shards: each name is made once.
    private static func race(_ daemon: TestDaemon, _ parents: [UInt64]) throws {
        let made = Monitor<[String: Int]>([:])
        let socket = daemon.socket
        try inThreads(8) { thread in
            guard let client = try? Client(socketPath: socket, name: "race") else { return }
            for index in 0..<50 {
                let name = "race-\(index)"
                let isNew: Bool
                if thread % 2 == 0 {
                    isNew = (try? client.fork(session: parents[thread], offset: 0, name: name)) != nil
                } else {
                    isNew = (try? Self.open(client, name).created) ?? false
                }
                if isNew { made.withLock { $0[name, default: 0] += 1 } }
            }
        }
        let counts = made.withLock { $0 }
        #expect(counts.count == 50 && counts.values.allSatisfy { $0 == 1 })
    }
}
