/// Whether sessions of a namespace share chunks by their prefix keys. Raw values are those of the wire and of the store.
public enum Sharing: UInt8, Sendable, CaseIterable, Codable {
    /// Equal prefixes are stored once.
    case shared = 0
    /// Each session's chunks are its own, and `match` finds none.
    case off = 1

    /// The name that the CLI and the documentation use.
    public var name: String { self == .shared ? "on" : "off" }
}

/// Which state of a namespace is taken into the store. Raw values are those of the wire and of the store.
public enum Admission: UInt8, Sendable, CaseIterable, Codable {
    /// All that is put.
    case everything = 0
    /// What is put for a second time.
    case secondTouch = 1

    /// The name that the CLI and the documentation use.
    public var name: String { self == .everything ? "everything" : "second-touch" }
}

/// What a namespace is allowed and how it is kept: stored, and changeable while the daemon runs (``NamespaceChange``).
public struct NamespacePolicy: Sendable, Hashable {
    /// Whether its sessions share chunks.
    public var sharing = Sharing.shared
    /// What is hashed into every prefix key before it is stored or looked up, so that knowing a prefix is not enough to
    /// know its stored key: 0 to ``Limits/saltBytes`` bytes, empty for none. A secret of the namespace's owner: no answer
    /// holds it.
    public var salt: [UInt8] = []
    /// Seconds since the last use of a session after which its state expires; 0 for never.
    public var ttlSeconds: UInt32 = 0
    /// Stored bytes that the namespace keeps whatever others need; 0 for none.
    public var minBytes: UInt64 = 0
    /// The most stored bytes; 0 for no limit.
    public var maxBytes: UInt64 = 0
    /// The most sessions; 0 for no limit.
    public var maxSessions: UInt32 = 0
    /// What is taken into the store.
    public var admission = Admission.everything

    /// A time to live for a session that outlasts what its namespace says.
    public static let never = UInt32.max

    /// The policy of a namespace that nobody has configured.
    public init() {}

    /// Throws ``LarderError`` with `invalidArgument`, naming what contradicts itself or a limit.
    public func validate() throws(LarderError) {
        guard salt.count <= Limits.saltBytes else {
            throw LarderError(
                .invalidArgument, "a salt of \(salt.count) bytes is too long; give 0 to \(Limits.saltBytes) bytes")
        }
        guard maxBytes == 0 || minBytes <= maxBytes else {
            throw LarderError(
                .invalidArgument,
                "a minimum of \(minBytes) bytes is above the maximum of \(maxBytes); lower the one or raise the other")
        }
    }
}

/// A change to a namespace's policy: what is nil stays as it is.
public struct NamespaceChange: Sendable, Hashable {
    /// See ``NamespacePolicy/sharing``.
    public var sharing: Sharing?
    /// See ``NamespacePolicy/salt``. Chunks that were shared under another salt match no more; sessions keep them.
    public var salt: [UInt8]?
    /// See ``NamespacePolicy/ttlSeconds``.
    public var ttlSeconds: UInt32?
    /// See ``NamespacePolicy/minBytes``.
    public var minBytes: UInt64?
    /// See ``NamespacePolicy/maxBytes``.
    public var maxBytes: UInt64?
    /// See ``NamespacePolicy/maxSessions``.
    public var maxSessions: UInt32?
    /// See ``NamespacePolicy/admission``.
    public var admission: Admission?

    /// A change of nothing.
    public init() {}

    /// True if it changes nothing: a question for the policy in force.
    public var isEmpty: Bool { self == NamespaceChange() }

    /// The fields of it that the namespace's owner may not set, for they take room from other namespaces.
    public var operatorFields: [String] {
        [
            (minBytes != nil, "min_bytes"), (maxBytes != nil, "max_bytes"), (maxSessions != nil, "max_sessions"),
            (admission != nil, "admission"),
        ].filter(\.0).map(\.1)
    }

    /// The policy after the change.
    public func applied(to policy: NamespacePolicy) -> NamespacePolicy {
        var changed = policy
        changed.sharing = sharing ?? policy.sharing
        changed.salt = salt ?? policy.salt
        changed.ttlSeconds = ttlSeconds ?? policy.ttlSeconds
        changed.minBytes = minBytes ?? policy.minBytes
        changed.maxBytes = maxBytes ?? policy.maxBytes
        changed.maxSessions = maxSessions ?? policy.maxSessions
        changed.admission = admission ?? policy.admission
        return changed
    }
}
