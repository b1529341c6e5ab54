import LarderModel

/// Change a namespace's policy; with nothing to change, ask for it.
public struct ConfigureNamespace: Request {
    /// Answers with ``PolicySummary``.
    public typealias Answer = PolicySummary
    /// configureNamespace.
    public static let type = MessageType.configureNamespace

    /// The namespace, which exists.
    public var namespace: String
    /// What is to be changed.
    public var change: NamespaceChange

    /// The bits of the mask that says which fields follow, in their order.
    private enum Field {
        static let sharing: UInt16 = 1 << 0
        static let salt: UInt16 = 1 << 1
        static let ttl: UInt16 = 1 << 2
        static let minBytes: UInt16 = 1 << 3
        static let maxBytes: UInt16 = 1 << 4
        static let maxSessions: UInt16 = 1 << 5
        static let admission: UInt16 = 1 << 6
        static let all: UInt16 = (1 << 7) - 1
    }

    /// A request. The salt has at most ``LarderModel/Limits/saltBytes`` bytes.
    public init(namespace: String, change: NamespaceChange = NamespaceChange()) {
        self.namespace = namespace
        self.change = change
    }

    public func write(to writer: inout ByteWriter) {
        precondition((change.salt?.count ?? 0) <= Int(UInt8.max), "a salt whose length does not fit its field")
        var mask: UInt16 = 0
        var fields = ByteWriter()
        if let sharing = change.sharing {
            mask |= Field.sharing
            fields.write(sharing.rawValue)
        }
        if let salt = change.salt {
            mask |= Field.salt
            fields.write(UInt8(salt.count))
            fields.write(raw: salt)
        }
        if let seconds = change.ttlSeconds {
            mask |= Field.ttl
            fields.write(seconds)
        }
        if let bytes = change.minBytes {
            mask |= Field.minBytes
            fields.write(bytes)
        }
        if let bytes = change.maxBytes {
            mask |= Field.maxBytes
            fields.write(bytes)
        }
        if let sessions = change.maxSessions {
            mask |= Field.maxSessions
            fields.write(sessions)
        }
        if let admission = change.admission {
            mask |= Field.admission
            fields.write(admission.rawValue)
        }
        writer.write(namespace)
        writer.write(mask)
        writer.write(raw: fields.bytes)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        namespace = try reader.readString("namespace")
        let mask = try reader.read(UInt16.self, "fields")
        guard mask & ~Field.all == 0 else {
            throw LarderError(
                .invalidArgument, "fields is \(mask); bits above \(Field.all) have no meaning in this version")
        }
        change = NamespaceChange()
        if mask & Field.sharing != 0 { change.sharing = try reader.read(Sharing.self, "sharing") }
        if mask & Field.salt != 0 {
            let count = Int(try reader.read(UInt8.self, "salt"))
            guard count <= Limits.saltBytes else {
                throw LarderError(
                    .invalidArgument, "a salt of \(count) bytes is too long; send 0 to \(Limits.saltBytes) bytes")
            }
            change.salt = Array(try reader.readBytes(count, "salt"))
        }
        if mask & Field.ttl != 0 { change.ttlSeconds = try reader.read(UInt32.self, "time to live") }
        if mask & Field.minBytes != 0 { change.minBytes = try reader.read(UInt64.self, "least bytes") }
        if mask & Field.maxBytes != 0 { change.maxBytes = try reader.read(UInt64.self, "most bytes") }
        if mask & Field.maxSessions != 0 { change.maxSessions = try reader.read(UInt32.self, "most sessions") }
        if mask & Field.admission != 0 { change.admission = try reader.read(Admission.self, "admission") }
    }
}

/// A namespace's policy, without its salt. Answers ``ConfigureNamespace``.
public struct PolicySummary: Message, Hashable {
    /// Whether its sessions share chunks.
    public var sharing: Sharing
    /// Whether a salt is hashed into its prefix keys.
    public var hasSalt: Bool
    /// Seconds since the last use of a session after which its state expires; 0 for never.
    public var ttlSeconds: UInt32
    /// Stored bytes that it keeps whatever others need; 0 for none.
    public var minBytes: UInt64
    /// The most stored bytes; 0 for no limit.
    public var maxBytes: UInt64
    /// The most sessions; 0 for no limit.
    public var maxSessions: UInt32
    /// What is taken into the store.
    public var admission: Admission

    /// What may be told of a policy.
    public init(_ policy: NamespacePolicy) {
        sharing = policy.sharing
        hasSalt = !policy.salt.isEmpty
        ttlSeconds = policy.ttlSeconds
        minBytes = policy.minBytes
        maxBytes = policy.maxBytes
        maxSessions = policy.maxSessions
        admission = policy.admission
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(sharing.rawValue)
        writer.write(UInt8(hasSalt ? 1 : 0))
        writer.write(ttlSeconds)
        writer.write(minBytes)
        writer.write(maxBytes)
        writer.write(maxSessions)
        writer.write(admission.rawValue)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        sharing = try reader.read(Sharing.self, "sharing")
        hasSalt = try reader.readFlag("salt")
        ttlSeconds = try reader.read(UInt32.self, "time to live")
        minBytes = try reader.read(UInt64.self, "least bytes")
        maxBytes = try reader.read(UInt64.self, "most bytes")
        maxSessions = try reader.read(UInt32.self, "most sessions")
        admission = try reader.read(Admission.self, "admission")
    }
}

/// One page of the namespaces that the user may use.
public struct ListNamespaces: Request {
    /// Answers with ``NamespaceList``.
    public typealias Answer = NamespaceList
    /// listNamespaces.
    public static let type = MessageType.listNamespaces

    /// The last namespace id of the page before; 0 to start.
    public var after: UInt32

    /// A request.
    public init(after: UInt32 = 0) { self.after = after }

    public func write(to writer: inout ByteWriter) { writer.write(after) }

    public init(from reader: inout ByteReader) throws(LarderError) { after = try reader.read(UInt32.self, "after") }
}

/// One namespace of a store.
public struct NamespaceSummary: Message, Hashable {
    /// The store's number for it.
    public var namespaceID: UInt32
    /// Its name.
    public var name: String
    /// User id that owns it.
    public var ownerUserID: UInt32
    /// Sessions in it.
    public var sessions: UInt64
    /// Its policy.
    public var policy: PolicySummary

    /// A summary from its fields.
    public init(namespaceID: UInt32, name: String, ownerUserID: UInt32, sessions: UInt64, policy: PolicySummary) {
        self.namespaceID = namespaceID
        self.name = name
        self.ownerUserID = ownerUserID
        self.sessions = sessions
        self.policy = policy
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(namespaceID)
        writer.write(name)
        writer.write(ownerUserID)
        writer.write(sessions)
        policy.write(to: &writer)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        namespaceID = try reader.read(UInt32.self, "namespace id")
        name = try reader.readString("namespace")
        ownerUserID = try reader.read(UInt32.self, "owner")
        sessions = try reader.read(UInt64.self, "sessions")
        policy = try PolicySummary(from: &reader)
    }
}

/// Answers ``ListNamespaces``: in order of id; a page that is not full is the last.
public struct NamespaceList: Message {
    /// The namespaces.
    public var namespaces: [NamespaceSummary]

    /// An answer.
    public init(namespaces: [NamespaceSummary]) { self.namespaces = namespaces }

    public func write(to writer: inout ByteWriter) { writer.write(list: namespaces) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        namespaces = try reader.readList(of: NamespaceSummary.self, limit: Limits.pageEntries, "namespaces")
    }
}

/// Set what a session has of its own in place of its namespace's policy.
public struct ConfigureSession: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// configureSession.
    public static let type = MessageType.configureSession

    /// Session id.
    public var session: UInt64
    /// Seconds since the last use after which its state expires; 0 for what its namespace says.
    public var ttlSeconds: UInt32

    /// A request from its fields.
    public init(session: UInt64, ttlSeconds: UInt32) {
        self.session = session
        self.ttlSeconds = ttlSeconds
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(ttlSeconds)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        ttlSeconds = try reader.read(UInt32.self, "time to live")
    }
}
