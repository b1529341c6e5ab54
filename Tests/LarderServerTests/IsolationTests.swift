import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Workers of several users at one daemon: what they may see of each other, and what they may take from each other.
@Suite(.enabled(if: OtherUsers.areThere)) struct IsolationTests {
    private static let key = PrefixKey([UInt8](repeating: 3, count: 32))!

    /// A session with a chunk under a key.
    private func fill(_ client: Client, _ namespace: String, _ name: String = "line") throws -> UInt64 {
        let model = try client.declare(Wide.model).modelID
        let session = try client.openSession(namespace: namespace, name: name, modelID: model).session
        let bytes = [UInt8](repeating: 5, count: Wide.bytes)
        let result = try bytes.withUnsafeBytes {
            try client.put([
                PageOut(
                    name: ChunkName(session: session, component: 0, offset: 0), tokens: 16, bytes: $0,
                    naming: .key(Self.key))
            ])
        }
        _ = try result[0].get()
        return session
    }

    /// Everything that a peer can ask about a namespace by its name.
    private func questions(_ client: Client, _ namespace: String, _ model: UInt32) -> [String] {
        var change = NamespaceChange()
        change.ttlSeconds = 5
        return [
            OtherUsers.told {
                try client.openSession(namespace: namespace, name: "line", modelID: model, create: false)
            },
            OtherUsers.told { try client.match(namespace: namespace, modelID: model, component: 0, keys: [Self.key]) },
            OtherUsers.told { try client.sessions(namespace: namespace) },
            OtherUsers.told { try client.configure(namespace: namespace) },
            OtherUsers.told { try client.configure(namespace: namespace, change) },
            OtherUsers.told { try client.report(namespace: namespace).rows },
        ]
            + [HintKind.retain, .pin, .prefetch, .demote].map { kind in
                OtherUsers.told {
                    try client.hint([
                        Hint(
                            kind, .keys(namespace: namespace, modelID: model, component: 0, keys: [Self.key]),
                            seconds: 9)
                    ])
                }
            }
    }

    /// Everything that a peer can ask about a session by its number.
    private func questions(_ client: Client, _ session: UInt64) -> [String] {
        let name = ChunkName(session: session, component: 0, offset: 0)
        var bytes = [UInt8](repeating: 6, count: Wide.bytes)
        return [
            OtherUsers.told { try client.resume(session: session) },
            OtherUsers.told { try client.explain(session: session) },
            OtherUsers.told { try client.planSnapshots(session: session, length: 99, boundary: 1) },
            OtherUsers.told { try client.chunkPage(from: name) },
            OtherUsers.told { try client.verify(session: session) },
            OtherUsers.told { try client.repair(name) },
            OtherUsers.told { try client.tree(session: session) },
            OtherUsers.told { try client.report(session: session) },
            OtherUsers.told { try client.fork(session: session, offset: 0, name: "mine") },
            OtherUsers.told { try client.truncate(session: session, offset: 0) },
            OtherUsers.told { try client.drop(session: session) },
            OtherUsers.told { try client.prefetch(session: session) },
            OtherUsers.told { try client.configure(session: session, ttlSeconds: 9) },
            OtherUsers.told {
                try bytes.withUnsafeBytes { try client.put([PageOut(name: name, tokens: 16, bytes: $0)]) }
            },
            OtherUsers.told {
                try bytes.withUnsafeMutableBytes { try client.get([PageIn(name: name, destination: $0)]) }
            },
            OtherUsers.told { try client.hint([Hint(.retain, .session(session, from: 0, to: .max), seconds: 9)]) },
            OtherUsers.told { try client.hint([Hint(.pin, .session(session, from: 0, to: .max), seconds: 0)]) },
            OtherUsers.told {
                try client.hint([
                    Hint(.share, .track(session, from: 0, to: 16, rank: 0, component: 0, keys: [Self.key]))
                ])
            },
        ]
    }

    @Test(arguments: [false, true])
    func answersWhatIsHiddenLikeWhatIsNot(hasTable: Bool) throws {
        let table = "[[access]]\nnamespace = \"secret\"\nusers = [\(OtherUsers.owner)]\nrights = \"write\"\n"
        let daemon = try OtherUsers.daemon(hasTable ? table : "")
        let owner = try OtherUsers.connect(daemon, OtherUsers.owner)
        let session = try fill(owner, "secret")
        let stranger = try OtherUsers.connect(daemon, OtherUsers.stranger)
        let model = try stranger.declare(Wide.model).modelID
        for (hidden, missing) in zip(questions(stranger, "secret", model), questions(stranger, "absent", model)) {
            #expect(hidden == missing.replacing("absent", with: "secret"))
        }
        let absent = session + 64 * 1_000
        for (hidden, missing) in zip(questions(stranger, session), questions(stranger, absent)) {
            #expect(hidden == missing.replacing("\(absent)", with: "\(session)"))
        }
        #expect(try stranger.sessions().isEmpty && stranger.namespaces().isEmpty && stranger.report().rows.isEmpty)
        // A name that may not be made is refused in the same words, whether it is taken or not.
        let taken = OtherUsers.told { try stranger.openSession(namespace: "secret", name: "line", modelID: model) }
        #expect(taken.hasPrefix("forbidden"))
        if hasTable {
            let free = OtherUsers.told { try stranger.openSession(namespace: "absent", name: "line", modelID: model) }
            #expect(taken == free.replacing("absent", with: "secret"))
        }
        #expect(try owner.chunkPage(from: ChunkName(session: session, component: 0, offset: 0)).count == 1)
        #expect(try owner.explain(session: session).offset == 16)
    }

    @Test func readersReadAndChangeNothing() throws {
        let daemon = try OtherUsers.daemon(
            """
            [[access]]
            namespace = "team-*"
            users = [\(OtherUsers.owner)]
            rights = "write"
            [[access]]
            namespace = "team-*"
            groups = [\(OtherUsers.group)]
            rights = "read"
            """)
        let owner = try OtherUsers.connect(daemon, OtherUsers.owner)
        let session = try fill(owner, "team-a")
        // A supplementary group gives rights; the same user without it is a stranger.
        let reader = try OtherUsers.connect(daemon, OtherUsers.stranger, groups: [7, OtherUsers.group])
        let stranger = try OtherUsers.connect(daemon, OtherUsers.stranger, groups: [7])
        let model = try reader.declare(Wide.model).modelID
        #expect(try reader.openSession(namespace: "team-a", name: "line", modelID: model).session == session)
        #expect(try reader.resume(session: session).offset == 16)
        #expect(try reader.match(namespace: "team-a", modelID: model, component: 0, keys: [Self.key]) == 1)
        #expect(try reader.sessions(namespace: "team-a").count == 1 && stranger.sessions().isEmpty)
        #expect(try reader.configure(namespace: "team-a") == PolicySummary(NamespacePolicy()))
        try reader.prefetch(session: session)
        var bytes = [UInt8](repeating: 0, count: Wide.bytes)
        let name = ChunkName(session: session, component: 0, offset: 0)
        let got = try bytes.withUnsafeMutableBytes { try reader.get([PageIn(name: name, destination: $0)]) }
        #expect(try got[0].get() == 16 && bytes.allSatisfy { $0 == 5 })
        let next = ChunkName(session: session, component: 0, offset: 16)
        let put = try bytes.withUnsafeBytes { try reader.put([PageOut(name: next, tokens: 16, bytes: $0)]) }
        #expect(put[0].errorCode == .forbidden)
        let refused = [
            OtherUsers.told { try reader.openSession(namespace: "team-a", name: "new", modelID: model) },
            OtherUsers.told { try reader.openSession(namespace: "team-b", name: "new", modelID: model) },
            OtherUsers.told { try reader.fork(session: session, offset: 0, name: "fork") },
            OtherUsers.told { try reader.truncate(session: session, offset: 0) },
            OtherUsers.told { try reader.drop(session: session) },
            OtherUsers.told { try reader.repair(name) },
            OtherUsers.told { try reader.configure(session: session, ttlSeconds: 9) },
            OtherUsers.told { try reader.configure(namespace: "team-a", NamespaceChange(ttl: 9)) },
        ]
        for answer in refused { #expect(answer.hasPrefix("forbidden"), "\(answer)") }
        for kind in [HintKind.retain, .pin, .demote, .prefetch] {
            let hint = Hint(kind, .session(session, from: 0, to: .max), seconds: 9)
            #expect(try reader.hint([hint])[0].outcome == .rejected)
        }
        #expect(try owner.explain(session: session).offset == 16 && owner.sessions().count == 1)
    }

    @Test func aUserAtItsConnectionsLeavesOthersServed() throws {
        let daemon = try OtherUsers.daemon(arguments: ["--max-connections", "8", "--user-connections", "3"])
        let held = try (0..<3).map { _ in try OtherUsers.connect(daemon, OtherUsers.owner) }
        let refusal = OtherUsers.told { try OtherUsers.connect(daemon, OtherUsers.owner).stat() }
        #expect(refusal.hasPrefix("tooManyConnections") && refusal.contains("user_connections"))
        let other = try OtherUsers.connect(daemon, OtherUsers.stranger)
        #expect(try fill(other, "mine") > 0)
        withExtendedLifetime(held) {}
    }

    @Test func aUserAtItsArenasLeavesOthersServed() throws {
        let daemon = try OtherUsers.daemon(arguments: ["--arena-memory", "8MiB", "--user-arena-memory", "3MiB"])
        let greedy = try OtherUsers.connect(daemon, OtherUsers.owner)
        let arena = try greedy.openArena(byteCount: 2 << 20)
        let refusal = OtherUsers.told { try greedy.openArena(byteCount: 2 << 20).bytes.count }
        #expect(refusal.hasPrefix("busy") && refusal.contains("user_arena_memory"))
        let other = try OtherUsers.connect(daemon, OtherUsers.stranger)
        #expect(try other.openArena(byteCount: 3 << 20).bytes.count == 3 << 20)
        try greedy.close(arena)
        #expect(try greedy.openArena(byteCount: 3 << 20).bytes.count == 3 << 20)
    }

    @Test func aUserAtItsDiskGivesWayOrIsRefusedAlone() throws {
        let daemon = try OtherUsers.daemon(arguments: ["--user-disk", "3MiB", "--user-namespaces", "2"])
        let greedy = try OtherUsers.connect(daemon, OtherUsers.owner)
        let sessions = (try fill(greedy, "one"), try fill(greedy, "two"))
        let bytes = (0..<Wide.bytes).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
        var codes: [ErrorCode] = []
        for index in 1...6 {
            let name = ChunkName(session: sessions.0, component: 0, offset: UInt64(index * 16))
            let result = try bytes.withUnsafeBytes {
                try greedy.put([PageOut(name: name, tokens: 16, bytes: $0)], encoding: .raw)
            }
            if let code = result[0].errorCode { codes.append(code) }
        }
        #expect(!codes.isEmpty && codes.allSatisfy { $0 == .full })
        let usage = try greedy.sessions().reduce(UInt64(0)) { $0 + $1.storedBytes }
        #expect(usage <= 3 << 20)
        let model = try greedy.declare(Wide.model).modelID
        let third = OtherUsers.told { try greedy.openSession(namespace: "three", name: "s", modelID: model) }
        #expect(third.hasPrefix("full") && third.contains("user_namespaces"))
        let other = try OtherUsers.connect(daemon, OtherUsers.stranger)
        #expect(try fill(other, "theirs") > 0)
    }

    @Test func aUserWhoFillsTheMemoryOfFramesLeavesOthersServed() throws {
        let daemon = try OtherUsers.daemon(arguments: ["--inline-memory", "80MiB", "--user-inline-memory", "64MiB"])
        let path = daemon.socket
        // Two peers that each send most of a frame of 60 MiB and stop: the second finds no memory.
        let sockets = Monitor<[Peer]>([])
        try Process.asUser(OtherUsers.owner) {
            for _ in 0..<2 { if let peer = try? Peer(path: path) { sockets.withLock { $0.append(peer) } } }
        }
        let part = FrameHeader(bodyBytes: 60 << 20, type: MessageType.put.rawValue, requestID: 2)
        var writer = ByteWriter(capacity: 16)
        part.write(to: &writer)
        let first = sockets.withLock { $0[0] }
        try first.send(writer.bytes + [UInt8](repeating: 0, count: 40 << 20))
        let other = try OtherUsers.connect(daemon, OtherUsers.stranger)
        #expect(try fill(other, "theirs") > 0)
    }
}

extension NamespaceChange {
    fileprivate init(ttl: UInt32) {
        self.init()
        ttlSeconds = ttl
    }
}
