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
