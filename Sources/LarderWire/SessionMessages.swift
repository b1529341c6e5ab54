import LarderModel

/// Declare a model: everything that makes its state interchangeable.
public struct DeclareModel: Request {
    /// Answers with ``ModelDeclared``.
    public typealias Answer = ModelDeclared
    /// declareModel.
    public static let type = MessageType.declareModel

    /// The declaration.
    public var declaration: ModelDeclaration

    /// A request.
    public init(declaration: ModelDeclaration) { self.declaration = declaration }

    public func write(to writer: inout ByteWriter) { declaration.write(to: &writer) }

    public init(from reader: inout ByteReader) throws(LarderError) { declaration = try ModelDeclaration(from: &reader) }
}

/// Answers ``DeclareModel``.
public struct ModelDeclared: Message {
    /// The store's number for this declaration.
    public var modelID: UInt32
    /// SHA-256 of the declaration's canonical bytes.
    public var fingerprint: [UInt8]

    /// An answer; the fingerprint has 32 bytes.
    public init(modelID: UInt32, fingerprint: [UInt8]) {
        precondition(fingerprint.count == 32, "a fingerprint has 32 bytes")
        self.modelID = modelID
        self.fingerprint = fingerprint
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(modelID)
        writer.write(raw: fingerprint)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        modelID = try reader.read(UInt32.self, "model id")
        fingerprint = Array(try reader.readBytes(32, "fingerprint"))
    }
}

/// Open a session, or create it.
public struct OpenSession: Request {
    /// Answers with ``SessionOpened``.
    public typealias Answer = SessionOpened
    /// openSession.
    public static let type = MessageType.openSession

    /// Namespace; created, and owned by this user, if it does not exist.
    public var namespace: String
    /// The session's name in it.
    public var name: String
    /// From ``ModelDeclared``.
    public var modelID: UInt32
    /// False to refuse a session that does not exist.
    public var create: Bool

    /// A request from its fields.
    public init(namespace: String, name: String, modelID: UInt32, create: Bool = true) {
        self.namespace = namespace
        self.name = name
        self.modelID = modelID
        self.create = create
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(namespace)
        writer.write(name)
        writer.write(modelID)
        writer.write(UInt8(create ? 1 : 0))
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        namespace = try reader.readString("namespace")
        name = try reader.readString("session name")
        modelID = try reader.read(UInt32.self, "model id")
        create = try reader.readFlag("create")
    }
}

/// Answers ``OpenSession``.
public struct SessionOpened: Message {
    /// The session's id: never used again for another session of this store.
    public var session: UInt64
    /// True if it is new.
    public var created: Bool

    /// An answer from its fields.
    public init(session: UInt64, created: Bool) {
        self.session = session
        self.created = created
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(UInt8(created ? 1 : 0))
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        created = try reader.readFlag("created")
    }
}

/// How far can this session be restored?
public struct Resume: Request {
    /// Answers with ``ResumeAnswer``.
    public typealias Answer = ResumeAnswer
    /// resume.
    public static let type = MessageType.resume

    /// Session id.
    public var session: UInt64
    /// The largest offset that is of use: the length of the prompt's matching prefix. `UInt64.max` for no bound.
    public var atMost: UInt64
    /// Tokens that the worker computes in a second of prefill; 0 if it does not know.
    public var prefillRate: UInt32

    /// A request from its fields.
    public init(session: UInt64, atMost: UInt64 = .max, prefillRate: UInt32 = 0) {
        self.session = session
        self.atMost = atMost
        self.prefillRate = prefillRate
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(atMost)
        writer.write(prefillRate)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        atMost = try reader.read(UInt64.self, "at most")
        prefillRate = try reader.read(UInt32.self, "prefill rate")
    }
}

/// How far one component alone could be restored.
public struct ComponentReach: Message, Hashable {
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Component index.
    public var component: UInt16
    /// Largest offset at which this component can be restored, whatever the others say.
    public var offset: UInt64

    /// A reach from its fields.
    public init(rank: UInt16, component: UInt16, offset: UInt64) {
        self.rank = rank
        self.component = component
        self.offset = offset
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(rank)
        writer.write(component)
        writer.write(offset)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        rank = try reader.read(UInt16.self, "rank")
        component = try reader.read(UInt16.self, "component")
        offset = try reader.read(UInt64.self, "offset")
    }
}

/// A stored chunk, as listings and resume answers name it.
public struct ChunkSummary: Message, Hashable {
    /// Which.
    public var name: ChunkName
    /// Tokens; 0 for a recurrent state.
    public var tokens: UInt32
    /// Bytes that a page-in of the whole chunk returns.
    public var rawBytes: UInt64
    /// Bytes in the store.
    public var storedBytes: UInt64
    /// The encoding of most of it.
    public var encoding: Encoding
    /// When it was stored, seconds since 1970.
    public var createdSeconds: UInt64

    /// A summary from its fields.
    public init(
        name: ChunkName, tokens: UInt32, rawBytes: UInt64, storedBytes: UInt64, encoding: Encoding,
        createdSeconds: UInt64
    ) {
        self.name = name
        self.tokens = tokens
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.encoding = encoding
        self.createdSeconds = createdSeconds
    }

    public func write(to writer: inout ByteWriter) {
        name.write(to: &writer)
        writer.write(tokens)
        writer.write(rawBytes)
        writer.write(storedBytes)
        writer.write(encoding.rawValue)
        writer.write(createdSeconds)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        name = try ChunkName(from: &reader)
        tokens = try reader.read(UInt32.self, "tokens")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        storedBytes = try reader.read(UInt64.self, "stored bytes")
        encoding = try reader.read(Encoding.self, "encoding")
        createdSeconds = try reader.read(UInt64.self, "created")
    }
}

/// Answers ``Resume``.
public struct ResumeAnswer: Message {
    /// The resume point, in tokens; 0 if nothing can be restored. No failure.
    public var offset: UInt64
    /// How far each component of each rank reaches: what holds the resume point back.
    public var reaches: [ComponentReach]
    /// The chunks to load for it, by offset: no more than it needs.
    public var chunks: [ChunkSummary]
    /// False if there are more than ``LarderModel/Limits/resumeChunks``; ``ListChunks`` has them all.
    public var complete: Bool
    /// Raw bytes to load for it.
    public var rawBytes: UInt64
    /// What loading them takes, in microseconds, as page-ins went on this machine lately.
    public var loadMicroseconds: UInt64
    /// The resume point, at most ``offset``, with which loading and computing the rest take least together. ``offset``
    /// unless the request said how fast the worker is.
    public var cheapestOffset: UInt64

    /// An answer from its fields.
    public init(
        offset: UInt64, reaches: [ComponentReach], chunks: [ChunkSummary], complete: Bool, rawBytes: UInt64,
        loadMicroseconds: UInt64, cheapestOffset: UInt64
    ) {
        self.offset = offset
        self.reaches = reaches
        self.chunks = chunks
        self.complete = complete
        self.rawBytes = rawBytes
        self.loadMicroseconds = loadMicroseconds
        self.cheapestOffset = cheapestOffset
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(offset)
        writer.write(UInt8(complete ? 1 : 0))
        writer.write(rawBytes)
        writer.write(loadMicroseconds)
        writer.write(cheapestOffset)
        writer.write(list: reaches)
        writer.write(list: chunks)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        offset = try reader.read(UInt64.self, "offset")
        complete = try reader.readFlag("complete")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        loadMicroseconds = try reader.read(UInt64.self, "load time")
        cheapestOffset = try reader.read(UInt64.self, "cheapest offset")
        reaches = try reader.readList(
            of: ComponentReach.self, limit: Limits.components * Int(Limits.groupSize), "reaches")
        chunks = try reader.readList(of: ChunkSummary.self, limit: Limits.resumeChunks, "chunks")
    }
}

/// Forget a session's state from an offset on. A chunk that reaches beyond the offset goes whole.
public struct Truncate: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// truncate.
    public static let type = MessageType.truncate

    /// Session id.
    public var session: UInt64
    /// Offset in tokens. Recurrent states at the offset itself stay.
    public var offset: UInt64

    /// A request from its fields.
    public init(session: UInt64, offset: UInt64) {
        self.session = session
        self.offset = offset
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(offset)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        offset = try reader.read(UInt64.self, "offset")
    }
}

/// Make a session, in the same namespace, that shares another's past up to an offset.
public struct Fork: Request {
    /// Answers with ``SessionOpened``.
    public typealias Answer = SessionOpened
    /// fork.
    public static let type = MessageType.fork

    /// The session to fork.
    public var session: UInt64
    /// How much of its past is shared, in tokens: chunks wholly below, and recurrent states at it at most.
    public var offset: UInt64
    /// The new session's name.
    public var name: String

    /// A request.
    public init(session: UInt64, offset: UInt64, name: String) {
        self.session = session
        self.offset = offset
        self.name = name
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(offset)
        writer.write(name)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        offset = try reader.read(UInt64.self, "offset")
        name = try reader.readString("session name")
    }
}

/// Forget a session and all its state.
public struct Drop: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// drop.
    public static let type = MessageType.drop

    /// Session id.
    public var session: UInt64

    /// A request.
    public init(session: UInt64) { self.session = session }

    public func write(to writer: inout ByteWriter) { writer.write(session) }

    public init(from reader: inout ByteReader) throws(LarderError) { session = try reader.read(UInt64.self, "session") }
}

/// Bring what a resume would load into memory, in the background; the answer does not wait for it.
public struct Prefetch: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// prefetch.
    public static let type = MessageType.prefetch

    /// Session id.
    public var session: UInt64
    /// Largest offset of interest in tokens.
    public var atMost: UInt64

    /// A request.
    public init(session: UInt64, atMost: UInt64 = .max) {
        self.session = session
        self.atMost = atMost
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(atMost)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        atMost = try reader.read(UInt64.self, "at most")
    }
}

/// Make everything committed survive power loss.
public struct Sync: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// sync.
    public static let type = MessageType.sync

    /// A request.
    public init() {}

    public func write(to writer: inout ByteWriter) {}

    public init(from reader: inout ByteReader) throws(LarderError) {}
}

/// An answer without content.
public struct Done: Message {
    /// An answer.
    public init() {}

    public func write(to writer: inout ByteWriter) {}

    public init(from reader: inout ByteReader) throws(LarderError) {}
}

extension ByteReader {
    /// A byte that is 0 or 1.
    mutating func readFlag(_ field: StaticString) throws(LarderError) -> Bool {
        let raw = try read(UInt8.self, field)
        guard raw <= 1 else { throw LarderError(.invalidArgument, "\(field) is \(raw); send 0 or 1") }
        return raw == 1
    }
}
