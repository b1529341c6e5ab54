import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// Writes sessions of a daemon to a file, as each sees its state: what a fork shares is written for each session that sees
/// it. Takes memory for a batch of chunks, however long the sessions are.
public struct SessionExporter: ~Copyable {
    /// A chunk that could not be read, and why.
    public struct LeftOut: Sendable {
        /// Which.
        public let chunk: ChunkName
        /// Why: damaged, or evicted between listing and reading.
        public let error: LarderError
    }

    private let client: Client
    private let models: [UInt32: ModelDeclaration]
    private var writer: ArchiveWriter
    private let arena: ExchangeArena
    private var writtenModels: Set<UInt32>
    /// What the sessions that are done come to.
    public private(set) var totals: ArchivedTotals
    /// The last chunks that were left out; at most 1,000.
    public private(set) var leftOut: [LeftOut] = []
    /// Told the raw bytes of each batch.
    private let onProgress: (Int) -> Void

    /// Begins an export to `file`.
    ///
    /// - Parameters:
    ///   - path: what messages call the file.
    ///   - onProgress: told the raw bytes of chunks that were written, batch by batch.
    public init(
        _ client: Client, to file: consuming Descriptor, path: String, onProgress: @escaping (Int) -> Void
    ) throws {
        var writer = try ArchiveWriter(file, path: path)
        try writer.append(.head(ArchiveHead(storeID: client.welcome.storeID, createdSeconds: Clock.wallSeconds())))
        try self.init(client, writer, [], ArchivedTotals(), onProgress)
    }

    /// Goes on with an export that was cut off.
    public init(
        _ client: Client, resuming file: PartialExport, onProgress: @escaping (Int) -> Void
    ) throws {
        guard file.head.storeID == client.welcome.storeID else {
            throw LarderError(
                .storeUnusable,
                "\(file.path) is an export of store \(file.head.storeID), and the daemon has store "
                    + "\(client.welcome.storeID); export to a new file")
        }
        try self.init(client, try file.writer(), file.models, file.totals, onProgress)
    }

    private init(
        _ client: Client, _ writer: consuming ArchiveWriter, _ models: Set<UInt32>, _ totals: ArchivedTotals,
        _ onProgress: @escaping (Int) -> Void
    ) throws(ClientError) {
        self.client = client
        self.writer = writer
        self.totals = totals
        self.onProgress = onProgress
        writtenModels = models
        arena = ExchangeArena(client)
        self.models = Dictionary(uniqueKeysWithValues: try client.models().map { ($0.modelID, $0.declaration) })
    }

    /// Bytes of the file so far.
    public var position: Int { writer.position }

    /// Writes one session.
    ///
    /// - Parameter begun: what the file has of it already, where the export was cut off in the middle of it.
    public mutating func export(_ session: SessionSummary, begun: PartialExport.Begun? = nil) throws {
        var current = begun?.totals ?? ArchivedTotals()
        if begun == nil {
            current.sessions = 1
            for model in session.models where writtenModels.insert(model.modelID).inserted {
                guard let declaration = models[model.modelID] else {
                    throw LarderError(.unknownModel, "model \(model.modelID) is not stored; export anew")
                }
                try writer.append(.model(number: model.modelID, declaration))
            }
            try writer.append(.session(ArchivedSession(session)))
        }
        var from = ChunkName(session: session.session, component: 0, offset: 0)
        if let begun, let last = begun.chunks.last {
            try requireUnchanged(session, since: begun)
            from = ChunkName(
                session: session.session, rank: last.rank, component: last.component, offset: last.offset + 1)
        }
        while true {
            let page = try client.chunkPage(from: from)
            try write(page, &current)
            guard page.count == Limits.pageEntries, let last = page.last else { break }
            from = last.name
            from.offset += 1
        }
        try writer.append(.sessionEnd(current))
        totals.add(current)
    }

    /// Throws if a chunk that the file has was replaced by another since: what is written behind it would not fit.
    private func requireUnchanged(_ session: SessionSummary, since begun: PartialExport.Begun) throws {
        var written = begun.chunks[...]
        var from = ChunkName(session: session.session, component: 0, offset: 0)
        while !written.isEmpty {
            let page = try client.chunkPage(from: from)
            for listed in page.map({ ArchivedChunk($0) }) {
                written = written.drop { listed.follows($0) }
                guard let known = written.first else { break }
                guard known.follows(listed) || known == listed else {
                    throw LarderError(
                        .conflict,
                        "session \(session.namespace)/\(session.name) was truncated and put anew at \(listed.offset) since "
                            + "the export began; export to a new file")
                }
            }
            guard page.count == Limits.pageEntries, let last = page.last else { return }
            from = last.name
            from.offset += 1
        }
    }

    /// Ends the export and makes it survive power loss.
    public mutating func finish() throws {
        try writer.append(.end(totals))
        try writer.synchronise()
    }

    private mutating func write(_ page: [ChunkSummary], _ current: inout ArchivedTotals) throws {
        var rest = page[...]
        while let first = rest.first {
            guard first.rawBytes <= UInt64(Limits.chunkBytes) else {
                throw ClientError.violation("a chunk of \(first.rawBytes) bytes")
            }
            let arena = try arena.room(Int(first.rawBytes))
            var bytes = 0
            let batch = rest.prefix {
                bytes += Int(clamping: $0.rawBytes)
                return bytes <= arena.bytes.count
            }
            try write(batch, through: arena, &current)
            rest = rest.dropFirst(batch.count)
        }
    }

    private mutating func write(
        _ batch: ArraySlice<ChunkSummary>, through arena: Arena, _ current: inout ArchivedTotals
    ) throws {
        var end = 0
        let items = batch.map { chunk in
            defer { end += Int(chunk.rawBytes) }
            return ArenaPageIn(
                item: GetItem(name: chunk.name), destination: arena.slice(end..<end + Int(chunk.rawBytes)))
        }
        let results = try client.get(items)
        var written = 0
        for ((chunk, item), result) in zip(zip(batch, items), results) {
            switch result {
            case .success(let tokens) where tokens == chunk.tokens:
                try writer.append(
                    .chunk(ArchivedChunk(chunk)), payload: UnsafeRawBufferPointer(item.destination.bytes))
                current.chunks += 1
                current.rawBytes += chunk.rawBytes
                written += Int(chunk.rawBytes)
            case .success:
                note(chunk, LarderError(.miss, "another chunk was put in its place meanwhile"), &current)
            case .failure(let error): note(chunk, error, &current)
            }
        }
        onProgress(written)
    }

    private mutating func note(_ chunk: ChunkSummary, _ error: LarderError, _ current: inout ArchivedTotals) {
        current.leftOut += 1
        if leftOut.count == Limits.pageEntries { leftOut.removeFirst() }
        leftOut.append(LeftOut(chunk: chunk.name, error: error))
    }
}

extension ArchivedSession {
    init(_ session: SessionSummary) {
        self.init(
            id: session.session, namespace: session.namespace, name: session.name,
            createdSeconds: session.createdSeconds, ttlSeconds: session.ttlSeconds,
            ranks: session.models.map { Rank(rank: $0.rank, model: $0.modelID) })
    }
}

extension ArchivedChunk {
    init(_ chunk: ChunkSummary) {
        self.init(
            rank: chunk.name.rank, component: chunk.name.component, offset: chunk.name.offset, tokens: chunk.tokens,
            createdSeconds: chunk.createdSeconds)
    }
}
