import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// Puts the sessions of an export into a daemon. Nothing of a record is used before its checksums have held. Takes memory
/// for a batch of chunks, however long the file is.
public struct SessionImporter: ~Copyable {
    /// Where sessions go, and what may be there.
    public struct Options: Sendable {
        /// The namespace; nil for the one that each session had.
        public var namespace: String?
        /// The name, for an export of one session; nil for the one that each had.
        public var name: String?
        /// True to go on with sessions that exist: what is stored and equal stays, what differs is refused.
        public var resumes = false

        /// The names that sessions had, new sessions only.
        public init() {}
    }

    /// A session that was imported, in full or in part.
    public struct Imported: Sendable {
        /// Its id in the daemon.
        public var session: UInt64
        /// Its namespace and name.
        public var name: String
        /// Chunks that the daemon has of the file.
        public var chunks: UInt64 = 0
        /// Their raw bytes.
        public var rawBytes: UInt64 = 0
        /// False while the file's end of it was not reached.
        public var isWhole = false

        /// One that has begun.
        public init(session: UInt64, name: String) {
            self.session = session
            self.name = name
        }
    }

    private let client: Client
    private let options: Options
    private let arena: ExchangeArena
    private let onProgress: (Int) -> Void
    /// Model ids of the daemon by number in the file.
    private var models: [UInt32: UInt32] = [:]
    private var batch: [ArenaPageOut] = []
    private var batchBytes = 0
    private var ttlSeconds: UInt32 = 0
    /// The sessions so far, the last of them perhaps not whole.
    public private(set) var sessions: [Imported] = []

    /// An import into the daemon that `client` is connected to.
    ///
    /// - Parameter onProgress: told how many bytes of the file are read.
    public init(_ client: Client, _ options: Options = Options(), onProgress: @escaping (Int) -> Void = { _ in }) {
        self.client = client
        self.options = options
        self.onProgress = onProgress
        arena = ExchangeArena(client)
    }

    /// Reads the file to its end and puts what is in it; what was put survives power loss then. Where the file ends early or
    /// is damaged, what came before that is put, and then ``ArchiveFailure`` is thrown.
    public mutating func run(_ reader: inout ArchiveReader) throws {
        do {
            while let record = try reader.next() {
                try take(record, &reader)
                onProgress(reader.position)
            }
        } catch let failure as ArchiveFailure {
            try flush()
            try client.synchronise()
            throw failure
        }
        try client.synchronise()
    }

    private mutating func take(_ record: ArchiveRecord, _ reader: inout ArchiveReader) throws {
        switch record {
        case .head, .end: break
        case .model(let number, let declaration): models[number] = try client.declare(declaration).modelID
        case .session(let session): try open(session)
        case .chunk(let chunk): try read(chunk, &reader)
        case .sessionEnd:
            try flush()
            if ttlSeconds > 0 { try client.configure(session: sessions.last!.session, ttlSeconds: ttlSeconds) }
            sessions[sessions.count - 1].isWhole = true
        }
    }

    private mutating func open(_ session: ArchivedSession) throws {
        let namespace = options.namespace ?? session.namespace
        let name = options.name ?? session.name
        if options.name != nil, !sessions.isEmpty {
            throw LarderError(
                .invalidArgument,
                "the file has more sessions than the one that was imported as \(sessions[0].name); import it without --name"
            )
        }
        let modelIDs = session.ranks.map { models[$0.model]! }
        if !options.resumes { try requireNew(namespace, name, modelIDs[0]) }
        var id: UInt64 = 0
        for modelID in modelIDs {
            id = try client.openSession(namespace: namespace, name: name, modelID: modelID).session
        }
        ttlSeconds = session.ttlSeconds
        sessions.append(Imported(session: id, name: "\(namespace)/\(name)"))
    }

    /// Throws `exists` if there is a session of that name, whatever its model.
    private func requireNew(_ namespace: String, _ name: String, _ modelID: UInt32) throws {
        do {
            _ = try client.openSession(namespace: namespace, name: name, modelID: modelID, create: false)
        } catch {
            guard case .refused(let refusal) = error else { throw error }
            if refusal.code == .unknownSession { return }
            if refusal.code != .modelMismatch { throw error }
        }
        throw LarderError(
            .exists,
            "there is a session \(namespace)/\(name) already; drop it, import under another --namespace or --name, or go on "
                + "with an import that was cut off by --resume")
    }

    private mutating func read(_ chunk: ArchivedChunk, _ reader: inout ArchiveReader) throws {
        let bytes = reader.payloadBytes
        if batchBytes + bytes > ExchangeArena.batchBytes || batch.count == Limits.pageEntries { try flush() }
        let memory = try arena.room(batchBytes + bytes)
        let place = memory.slice(batchBytes..<batchBytes + bytes)
        try reader.readPayload(into: place.bytes)
        let name = ChunkName(
            session: sessions.last!.session, rank: chunk.rank, component: chunk.component, offset: chunk.offset)
        batch.append(ArenaPageOut(name: name, tokens: chunk.tokens, source: place))
        batchBytes += bytes
    }

    /// Puts what was gathered.
    private mutating func flush() throws {
        defer { (batch, batchBytes) = ([], 0) }
        if batch.isEmpty { return }
        var results = try client.put(batch)
        // A namespace may take in only what is put a second time.
        let declined = results.indices.filter { index in
            if case .failure(let error) = results[index] { error.code == .declined } else { false }
        }
        if !declined.isEmpty {
            for (index, result) in zip(declined, try client.put(declined.map { batch[$0] })) { results[index] = result }
        }
        for (chunk, result) in zip(batch, results) {
            switch result {
            case .success:
                sessions[sessions.count - 1].chunks += 1
                sessions[sessions.count - 1].rawBytes += UInt64(chunk.source.range.count)
            case .failure(let error):
                throw LarderError(
                    error.code,
                    "session \(sessions.last!.name), rank \(chunk.name.rank), component \(chunk.name.component), offset "
                        + "\(chunk.name.offset): \(error.message); then go on with --resume")
            }
        }
    }
}
