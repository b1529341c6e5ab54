import LarderModel

/// A record of an export, without its payload (Docs/EXPORT.md).
public enum ArchiveRecord: Sendable {
    /// What the file is an export of. The first record.
    case head(ArchiveHead)
    /// A model that sessions behind it use.
    case model(number: UInt32, ModelDeclaration)
    /// A session begins.
    case session(ArchivedSession)
    /// A chunk of the session; its raw bytes are the record's payload.
    case chunk(ArchivedChunk)
    /// The session ends.
    case sessionEnd(ArchivedTotals)
    /// The export ends: nothing follows.
    case end(ArchivedTotals)

    /// The number of its kind.
    var kind: UInt32 {
        switch self {
        case .head: 1
        case .model: 2
        case .session: 3
        case .chunk: 4
        case .sessionEnd: 5
        case .end: 6
        }
    }
}

/// Where and when an export was made.
public struct ArchiveHead: Sendable, Hashable {
    /// The store that it is of.
    public var storeID: StoreID
    /// Seconds since 1970.
    public var createdSeconds: UInt64

    /// A head from its fields.
    public init(storeID: StoreID, createdSeconds: UInt64) {
        self.storeID = storeID
        self.createdSeconds = createdSeconds
    }
}

/// A session as an export names it.
public struct ArchivedSession: Sendable, Hashable {
    /// A rank that opened the session, and the number in the file of its model.
    public struct Rank: Sendable, Hashable {
        /// Rank in the parallel group.
        public var rank: UInt16
        /// The model's number in the file.
        public var model: UInt32

        /// A rank from its fields.
        public init(rank: UInt16, model: UInt32) {
            self.rank = rank
            self.model = model
        }
    }

    /// The id that it had in its store.
    public var id: UInt64
    /// Its namespace.
    public var namespace: String
    /// Its name there.
    public var name: String
    /// Seconds since 1970.
    public var createdSeconds: UInt64
    /// Its own time to live; 0 for what its namespace says.
    public var ttlSeconds: UInt32
    /// At least one.
    public var ranks: [Rank]

    /// A session from its fields.
    public init(
        id: UInt64, namespace: String, name: String, createdSeconds: UInt64, ttlSeconds: UInt32, ranks: [Rank]
    ) {
        self.id = id
        self.namespace = namespace
        self.name = name
        self.createdSeconds = createdSeconds
        self.ttlSeconds = ttlSeconds
        self.ranks = ranks
    }
}

/// A chunk as an export names it.
public struct ArchivedChunk: Sendable, Hashable {
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Index into the components of that rank's model.
    public var component: UInt16
    /// Offset in tokens.
    public var offset: UInt64
    /// Tokens; 0 for a recurrent state.
    public var tokens: UInt32
    /// When it was stored, seconds since 1970.
    public var createdSeconds: UInt64

    /// A chunk from its fields.
    public init(rank: UInt16, component: UInt16, offset: UInt64, tokens: UInt32, createdSeconds: UInt64) {
        self.rank = rank
        self.component = component
        self.offset = offset
        self.tokens = tokens
        self.createdSeconds = createdSeconds
    }

    /// True if it comes after `other` in a session: by rank, component, offset.
    func follows(_ other: ArchivedChunk) -> Bool {
        (rank, component, offset) > (other.rank, other.component, other.offset)
    }
}

/// What a session, or a whole export, comes to.
public struct ArchivedTotals: Sendable, Hashable {
    /// Sessions; of a session's end 1.
    public var sessions: UInt64 = 0
    /// Chunks.
    public var chunks: UInt64 = 0
    /// Their raw bytes.
    public var rawBytes: UInt64 = 0
    /// Chunks that could not be read when the export was made: damaged, or evicted meanwhile.
    public var leftOut: UInt64 = 0

    /// Nothing.
    public init() {}

    mutating func add(_ other: ArchivedTotals) {
        sessions &+= other.sessions
        chunks &+= other.chunks
        rawBytes &+= other.rawBytes
        leftOut &+= other.leftOut
    }
}

extension ArchiveRecord {
    /// The bytes of its fields.
    var fields: [UInt8] {
        var writer = ByteWriter(capacity: 64)
        switch self {
        case .head(let head):
            writer.write(head.storeID.high)
            writer.write(head.storeID.low)
            writer.write(head.createdSeconds)
        case .model(let number, let declaration):
            writer.write(number)
            declaration.write(to: &writer)
        case .session(let session):
            writer.write(session.id)
            writer.write(session.namespace)
            writer.write(session.name)
            writer.write(session.createdSeconds)
            writer.write(session.ttlSeconds)
            writer.write(UInt16(session.ranks.count))
            for rank in session.ranks {
                writer.write(rank.rank)
                writer.write(rank.model)
            }
        case .chunk(let chunk):
            writer.write(chunk.rank)
            writer.write(chunk.component)
            writer.write(chunk.offset)
            writer.write(chunk.tokens)
            writer.write(chunk.createdSeconds)
        case .sessionEnd(let totals), .end(let totals):
            for value in [totals.sessions, totals.chunks, totals.rawBytes, totals.leftOut] { writer.write(value) }
        }
        return writer.bytes
    }

    /// Reads the fields of a record of a kind. Throws for an unknown kind, and for fields that do not follow the format.
    init(kind: UInt32, fields: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = ByteReader(fields)
        switch kind {
        case 1:
            let id = StoreID(
                high: try reader.read(UInt64.self, "store id"), low: try reader.read(UInt64.self, "store id"))
            self = .head(ArchiveHead(storeID: id, createdSeconds: try reader.read(UInt64.self, "created")))
        case 2:
            self = .model(number: try reader.read(UInt32.self, "model"), try ModelDeclaration(from: &reader))
        case 3: self = .session(try ArchivedSession(from: &reader))
        case 4:
            self = .chunk(
                ArchivedChunk(
                    rank: try reader.read(UInt16.self, "rank"), component: try reader.read(UInt16.self, "component"),
                    offset: try reader.read(UInt64.self, "offset"), tokens: try reader.read(UInt32.self, "tokens"),
                    createdSeconds: try reader.read(UInt64.self, "created")))
        case 5: self = .sessionEnd(try ArchivedTotals(from: &reader))
        case 6: self = .end(try ArchivedTotals(from: &reader))
        default: throw LarderError(.malformed, "a record of kind \(kind), which has no meaning in this version")
        }
        try reader.finish("the record")
    }
}

extension ArchivedSession {
    fileprivate init(from reader: inout ByteReader) throws(LarderError) {
        id = try reader.read(UInt64.self, "session id")
        namespace = try reader.readString("namespace")
        name = try reader.readString("session name")
        createdSeconds = try reader.read(UInt64.self, "created")
        ttlSeconds = try reader.read(UInt32.self, "time to live")
        ranks = []
        for _ in 0..<(try reader.read(UInt16.self, "ranks")) {
            ranks.append(
                Rank(rank: try reader.read(UInt16.self, "rank"), model: try reader.read(UInt32.self, "model")))
        }
    }
}

extension ArchivedTotals {
    fileprivate init(from reader: inout ByteReader) throws(LarderError) {
        sessions = try reader.read(UInt64.self, "sessions")
        chunks = try reader.read(UInt64.self, "chunks")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        leftOut = try reader.read(UInt64.self, "left out")
    }
}
