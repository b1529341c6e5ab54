import LarderModel

/// One page of the models that a store holds.
public struct ListModels: Request {
    /// Answers with ``ModelList``.
    public typealias Answer = ModelList
    /// listModels.
    public static let type = MessageType.listModels

    /// The last model id of the page before; 0 to start.
    public var after: UInt32

    /// A request.
    public init(after: UInt32 = 0) { self.after = after }

    public func write(to writer: inout ByteWriter) { writer.write(after) }

    public init(from reader: inout ByteReader) throws(LarderError) { after = try reader.read(UInt32.self, "after") }
}

/// One model of a store.
public struct ModelSummary: Message, Hashable {
    /// The store's number for it.
    public var modelID: UInt32
    /// SHA-256 of the declaration's canonical bytes.
    public var fingerprint: [UInt8]
    /// The declaration.
    public var declaration: ModelDeclaration

    /// A summary from its fields.
    public init(modelID: UInt32, fingerprint: [UInt8], declaration: ModelDeclaration) {
        precondition(fingerprint.count == 32, "a fingerprint has 32 bytes")
        self.modelID = modelID
        self.fingerprint = fingerprint
        self.declaration = declaration
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(modelID)
        writer.write(raw: fingerprint)
        declaration.write(to: &writer)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        modelID = try reader.read(UInt32.self, "model id")
        fingerprint = Array(try reader.readBytes(32, "fingerprint"))
        declaration = try ModelDeclaration(from: &reader)
    }
}

/// Answers ``ListModels``: in order of id; a page that is not full is the last.
public struct ModelList: Message {
    /// The models.
    public var models: [ModelSummary]

    /// An answer.
    public init(models: [ModelSummary]) { self.models = models }

    public func write(to writer: inout ByteWriter) { writer.write(list: models) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        models = try reader.readList(of: ModelSummary.self, limit: Limits.pageEntries, "models")
    }
}

/// One page of the sessions that the user may see.
public struct ListSessions: Request {
    /// Answers with ``SessionList``.
    public typealias Answer = SessionList
    /// listSessions.
    public static let type = MessageType.listSessions

    /// Only those of this namespace; empty for all.
    public var namespace: String
    /// The last session id of the page before; 0 to start.
    public var after: UInt64

    /// A request from its fields.
    public init(namespace: String = "", after: UInt64 = 0) {
        self.namespace = namespace
        self.after = after
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(namespace)
        writer.write(after)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        namespace = try reader.readString("namespace")
        after = try reader.read(UInt64.self, "after")
    }
}

/// One session of a store.
public struct SessionSummary: Message, Hashable {
    /// Session id.
    public var session: UInt64
    /// Namespace.
    public var namespace: String
    /// Name in the namespace.
    public var name: String
    /// User id that owns the namespace.
    public var ownerUserID: UInt32
    /// The model of each rank that has opened it.
    public var models: [SessionModel]
    /// Chunks that no other session sees: what a drop would free.
    public var chunks: UInt64
    /// Raw bytes of those.
    public var rawBytes: UInt64
    /// Bytes that they take in the store.
    public var storedBytes: UInt64
    /// When it was created, seconds since 1970.
    public var createdSeconds: UInt64
    /// When it last changed, seconds since 1970.
    public var changedSeconds: UInt64
    /// Seconds since its last use after which its state expires; 0 for what its namespace says.
    public var ttlSeconds: UInt32

    /// A summary from its fields.
    public init(
        session: UInt64, namespace: String, name: String, ownerUserID: UInt32, models: [SessionModel], chunks: UInt64,
        rawBytes: UInt64, storedBytes: UInt64, createdSeconds: UInt64, changedSeconds: UInt64, ttlSeconds: UInt32
    ) {
        self.session = session
        self.namespace = namespace
        self.name = name
        self.ownerUserID = ownerUserID
        self.models = models
        self.chunks = chunks
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.createdSeconds = createdSeconds
        self.changedSeconds = changedSeconds
        self.ttlSeconds = ttlSeconds
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(namespace)
        writer.write(name)
        writer.write(ownerUserID)
        writer.write(list: models)
        for value in [chunks, rawBytes, storedBytes, createdSeconds, changedSeconds] { writer.write(value) }
        writer.write(ttlSeconds)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        namespace = try reader.readString("namespace")
        name = try reader.readString("session name")
        ownerUserID = try reader.read(UInt32.self, "owner")
        models = try reader.readList(of: SessionModel.self, limit: Int(Limits.groupSize), "models")
        chunks = try reader.read(UInt64.self, "chunks")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        storedBytes = try reader.read(UInt64.self, "stored bytes")
        createdSeconds = try reader.read(UInt64.self, "created")
        changedSeconds = try reader.read(UInt64.self, "changed")
        ttlSeconds = try reader.read(UInt32.self, "time to live")
    }
}

/// Which model a rank of a session's group uses.
public struct SessionModel: Message, Hashable {
    /// Rank in the parallel group.
    public var rank: UInt16
    /// The store's number for the model.
    public var modelID: UInt32

    /// A pair from its fields.
    public init(rank: UInt16, modelID: UInt32) {
        self.rank = rank
        self.modelID = modelID
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(rank)
        writer.write(modelID)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        rank = try reader.read(UInt16.self, "rank")
        modelID = try reader.read(UInt32.self, "model id")
    }
}

/// Answers ``ListSessions``: in order of id. `next` is 0 on the last page.
public struct SessionList: Message {
    /// The sessions.
    public var sessions: [SessionSummary]
    /// ``ListSessions/after`` of the next page; 0 if there is none.
    public var next: UInt64

    /// An answer from its fields.
    public init(sessions: [SessionSummary], next: UInt64) {
        self.sessions = sessions
        self.next = next
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(next)
        writer.write(list: sessions)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        next = try reader.read(UInt64.self, "next")
        sessions = try reader.readList(of: SessionSummary.self, limit: Limits.pageEntries, "sessions")
    }
}

/// One page of a session's chunks.
public struct ListChunks: Request {
    /// Answers with ``ChunkList``.
    public typealias Answer = ChunkList
    /// listChunks.
    public static let type = MessageType.listChunks

    /// Where to start: the session, and the first rank, component and offset that may be listed.
    public var from: ChunkName

    /// A request.
    public init(from: ChunkName) { self.from = from }

    public func write(to writer: inout ByteWriter) { from.write(to: &writer) }

    public init(from reader: inout ByteReader) throws(LarderError) { from = try ChunkName(from: &reader) }
}

/// Answers ``ListChunks``: in order of rank, component and offset; a page that is not full is the last.
public struct ChunkList: Message {
    /// The chunks.
    public var chunks: [ChunkSummary]

    /// An answer.
    public init(chunks: [ChunkSummary]) { self.chunks = chunks }

    public func write(to writer: inout ByteWriter) { writer.write(list: chunks) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        chunks = try reader.readList(of: ChunkSummary.self, limit: Limits.pageEntries, "chunks")
    }
}
