import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

struct Sessions: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The sessions that you may see.")
    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Only those of this namespace.")
    var namespace = ""

    func run() throws {
        try connection.withClient { client in
            let sessions = try client.sessions(namespace: namespace)
            if connection.json {
                print(try Format.json(sessions.map(SessionEntry.init)))
                return
            }
            var table = Table(">id", "session", ">uid", "models", ">chunks", ">raw", ">stored", ">ratio", ">changed")
            for session in sessions {
                table.add(
                    "\(session.session)", "\(session.namespace)/\(session.name)", "\(session.ownerUserID)",
                    session.models.map { "\($0.modelID)" }.joined(separator: ","), "\(session.chunks)",
                    Format.bytes(session.rawBytes), Format.bytes(session.storedBytes),
                    Format.ratio(session.rawBytes, session.storedBytes), Format.age(session.changedSeconds))
            }
            table.printOut()
        }
    }
}

/// A session in JSON.
struct SessionEntry: Encodable {
    let id: UInt64
    let namespace: String
    let name: String
    let ownerUserID: UInt32
    let modelIDs: [UInt32]
    let chunks: UInt64
    let rawBytes: UInt64
    let storedBytes: UInt64
    let createdSeconds: UInt64
    let changedSeconds: UInt64
    let ttlSeconds: UInt32

    init(_ session: SessionSummary) {
        id = session.session
        namespace = session.namespace
        name = session.name
        ownerUserID = session.ownerUserID
        modelIDs = session.models.map(\.modelID)
        chunks = session.chunks
        rawBytes = session.rawBytes
        storedBytes = session.storedBytes
        createdSeconds = session.createdSeconds
        changedSeconds = session.changedSeconds
        ttlSeconds = session.ttlSeconds
    }
}

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "One session: its components, chunks and resume point.")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number.")
    var session: String
    @Flag(help: "List every chunk.")
    var chunks = false

    private struct Report: Encodable {
        let session: SessionEntry
        let resumePoint: UInt64
        let components: [ComponentEntry]
        let chunks: [ChunkEntry]
    }

    private struct ComponentEntry: Encodable {
        let rank: UInt16
        let name: String
        let kind: String
        let elementType: String
        let chunks: Int
        let reach: UInt64
        let rawBytes: UInt64
        let storedBytes: UInt64
    }

    private struct ChunkEntry: Encodable {
        let rank: UInt16
        let component: UInt16
        let offset: UInt64
        let tokens: UInt32
        let encoding: String
        let rawBytes: UInt64
        let storedBytes: UInt64
    }

    func run() throws {
        try connection.withClient { client in
            let found = try findSession(session, client)
            let resume = try client.resume(session: found.session)
            let all = try client.chunks(session: found.session)
            let models = try client.models()
            let components = resume.reaches.map { reach in
                let modelID = found.models.first { $0.rank == reach.rank }?.modelID
                let component = models.first { $0.modelID == modelID }?.declaration.components[Int(reach.component)]
                let mine = all.filter { $0.name.rank == reach.rank && $0.name.component == reach.component }
                return ComponentEntry(
                    rank: reach.rank, name: component?.name ?? "?", kind: component.map { "\($0.kind)" } ?? "?",
                    elementType: component?.elementType.name ?? "?", chunks: mine.count, reach: reach.offset,
                    rawBytes: mine.reduce(0) { $0 + $1.rawBytes }, storedBytes: mine.reduce(0) { $0 + $1.storedBytes })
            }
            let entries = all.map {
                ChunkEntry(
                    rank: $0.name.rank, component: $0.name.component, offset: $0.name.offset, tokens: $0.tokens,
                    encoding: $0.encoding.name, rawBytes: $0.rawBytes, storedBytes: $0.storedBytes)
            }
            if connection.json {
                print(
                    try Format.json(
                        Report(
                            session: SessionEntry(found), resumePoint: resume.offset, components: components,
                            chunks: entries)))
            } else {
                let policy = try client.namespaces().first { $0.name == found.namespace }?.policy
                printOut(found, resume, components, entries, Format.expiry(found.ttlSeconds, policy))
            }
        }
    }

    private func printOut(
        _ session: SessionSummary, _ resume: ResumeAnswer, _ components: [ComponentEntry], _ entries: [ChunkEntry],
        _ expiry: String
    ) {
        print(
            "session \(session.namespace)/\(session.name) (\(session.session)), uid \(session.ownerUserID), "
                + "changed \(Format.age(session.changedSeconds)) ago, \(expiry)"
        )
        print("resume point \(resume.offset) tokens, \(resume.chunks.count) chunks to load\n")
        var table = Table("component", ">rank", "kind", "type", ">chunks", ">reach", ">raw", ">stored", ">ratio")
        for component in components {
            table.add(
                component.name, "\(component.rank)", component.kind, component.elementType, "\(component.chunks)",
                "\(component.reach)", Format.bytes(component.rawBytes), Format.bytes(component.storedBytes),
                Format.ratio(component.rawBytes, component.storedBytes))
        }
        table.printOut()
        guard chunks else { return }
        print("")
        var list = Table(">rank", ">component", ">offset", ">tokens", "encoding", ">raw", ">stored")
        for chunk in entries {
            list.add(
                "\(chunk.rank)", "\(chunk.component)", "\(chunk.offset)", "\(chunk.tokens)", chunk.encoding,
                Format.bytes(chunk.rawBytes), Format.bytes(chunk.storedBytes))
        }
        list.printOut()
    }
}

struct Drop: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Forget a session and all its state.")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number.")
    var session: String

    func run() throws {
        try connection.withClient { client in
            let found = try findSession(session, client)
            try client.drop(session: found.session)
            if connection.json {
                print(try Format.json(["dropped": found.session]))
            } else {
                print(
                    "dropped \(found.namespace)/\(found.name): \(found.chunks) chunks, "
                        + "\(Format.bytes(found.storedBytes))"
                )
            }
        }
    }
}
