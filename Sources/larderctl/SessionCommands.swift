import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

struct Sessions: DaemonCommand {
    static let configuration = CommandConfiguration(abstract: "The sessions that you may see.")
    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Only those of this namespace.")
    var namespace = ""

    func report(_ client: Client) throws -> SessionList {
        SessionList(try client.sessions(namespace: namespace).map(SessionEntry.init))
    }

    /// Sessions, as an array.
    struct SessionList: CommandReport {
        let sessions: [SessionEntry]

        init(_ sessions: [SessionEntry]) { self.sessions = sessions }

        func encode(to encoder: any Encoder) throws { try sessions.encode(to: encoder) }

        func printOut() {
            var table = Table(">id", "session", ">uid", "models", ">chunks", ">raw", ">stored", ">ratio", ">changed")
            for session in sessions {
                table.add(
                    "\(session.id)", "\(session.namespace)/\(session.name)", "\(session.ownerUserID)",
                    session.modelIDs.map { "\($0)" }.joined(separator: ","), "\(session.chunks)",
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

struct Show: SessionCommand {
    static let configuration = CommandConfiguration(abstract: "One session: its components, chunks and resume point.")
    @OptionGroup var target: SessionOptions
    @Flag(help: "List every chunk.")
    var chunks = false

    func report(_ client: Client, _ session: SessionSummary) throws -> Report {
        let resume = try client.resume(session: session.session)
        let all = try client.chunks(session: session.session)
        let models = try client.models()
        let components = resume.reaches.map { reach in
            let modelID = session.models.first { $0.rank == reach.rank }?.modelID
            let component = models.first { $0.modelID == modelID }?.declaration.components[Int(reach.component)]
            let mine = all.filter { $0.name.rank == reach.rank && $0.name.component == reach.component }
            return Report.Component(
                rank: reach.rank, name: component?.name ?? "?", kind: component.map { "\($0.kind)" } ?? "?",
                elementType: component?.elementType.name ?? "?", chunks: mine.count, reach: reach.offset,
                rawBytes: mine.reduce(0) { $0 + $1.rawBytes }, storedBytes: mine.reduce(0) { $0 + $1.storedBytes })
        }
        let policy = try client.namespaces().first { $0.name == session.namespace }?.policy
        return Report(
            session: SessionEntry(session), expiry: Format.expiry(session.ttlSeconds, policy),
            resumePoint: resume.offset, chunksToLoad: resume.chunks.count, components: components,
            chunks: all.map(Report.Chunk.init), listsChunks: chunks)
    }

    struct Report: CommandReport {
        struct Component: Encodable {
            let rank: UInt16
            let name: String
            let kind: String
            let elementType: String
            let chunks: Int
            let reach: UInt64
            let rawBytes: UInt64
            let storedBytes: UInt64
        }

        struct Chunk: Encodable {
            let rank: UInt16
            let component: UInt16
            let offset: UInt64
            let tokens: UInt32
            let encoding: String
            let rawBytes: UInt64
            let storedBytes: UInt64

            init(_ chunk: ChunkSummary) {
                rank = chunk.name.rank
                component = chunk.name.component
                offset = chunk.name.offset
                tokens = chunk.tokens
                encoding = chunk.encoding.name
                rawBytes = chunk.rawBytes
                storedBytes = chunk.storedBytes
            }
        }

        let session: SessionEntry
        let expiry: String
        let resumePoint: UInt64
        let chunksToLoad: Int
        let components: [Component]
        let chunks: [Chunk]
        /// Whether people see every chunk.
        let listsChunks: Bool

        private enum CodingKeys: CodingKey {
            case session, resumePoint, chunksToLoad, components, chunks
        }

        func printOut() {
            print(
                "session \(session.namespace)/\(session.name) (\(session.id)), uid \(session.ownerUserID), "
                    + "changed \(Format.age(session.changedSeconds)) ago, \(expiry)")
            print("resume point \(resumePoint) tokens, \(chunksToLoad) chunks to load\n")
            var table = Table("component", ">rank", "kind", "type", ">chunks", ">reach", ">raw", ">stored", ">ratio")
            for component in components {
                table.add(
                    component.name, "\(component.rank)", component.kind, component.elementType, "\(component.chunks)",
                    "\(component.reach)", Format.bytes(component.rawBytes), Format.bytes(component.storedBytes),
                    Format.ratio(component.rawBytes, component.storedBytes))
            }
            table.printOut()
            guard listsChunks else { return }
            print("")
            var list = Table(">rank", ">component", ">offset", ">tokens", "encoding", ">raw", ">stored")
            for chunk in chunks {
                list.add(
                    "\(chunk.rank)", "\(chunk.component)", "\(chunk.offset)", "\(chunk.tokens)", chunk.encoding,
                    Format.bytes(chunk.rawBytes), Format.bytes(chunk.storedBytes))
            }
            list.printOut()
        }
    }
}
