import Hummingbird
import LarderModel
import LarderServer
import LarderStore
import LarderSystem

extension AdminRoute {
    /// What an operator may do to sessions, namespaces and models.
    static let verbs: [AdminRoute] = [
        AdminRoute(.delete, "/v1/sessions/{session}") { admin, request in
            let id = try request.id("session")
            try request.finishQuery()
            try admin.daemon.drop(session: id)
            return try .json(Done())
        },
        AdminRoute(.post, "/v1/sessions/{session}/fork") { admin, request in
            let (id, body) = try request.sessionBody(ForkBody.self)
            let fork = try admin.daemon.fork(session: id, offset: body.offsetTokens, name: body.name)
            return try .json(Forked(session: fork), .created)
        },
        AdminRoute(.post, "/v1/sessions/{session}/truncate") { admin, request in
            let (id, body) = try request.sessionBody(TruncateBody.self)
            try admin.daemon.truncate(session: id, offset: body.offsetTokens)
            return try .json(Done())
        },
        AdminRoute(.post, "/v1/sessions/{session}/evict") { admin, request in
            let (id, body) = try request.sessionBody(EvictBody.self)
            return try .json(
                EvictAnswer(
                    try admin.store.evict(
                        session: id, from: body.fromTokens ?? 0, sharedToo: body.shared ?? false,
                        reader: admin.reader)))
        },
        AdminRoute(.post, "/v1/sessions/{session}/retain") { admin, request in
            try admin.hint(.retain, request)
        },
        AdminRoute(.post, "/v1/sessions/{session}/pin") { admin, request in
            try admin.hint(.pin, request)
        },
        AdminRoute(.post, "/v1/sessions/{session}/demote") { admin, request in
            try admin.hint(.demote, request)
        },
        AdminRoute(.post, "/v1/sessions/{session}/prefetch") { admin, request in
            try admin.hint(.prefetch, request)
        },
        AdminRoute(.put, "/v1/sessions/{session}/ttl") { admin, request in
            let (id, body) = try request.sessionBody(TTLBody.self)
            try admin.reader.requireAccess(session: id)
            try admin.store.configure(session: id, ttlSeconds: body.ttlSeconds)
            return try .json(Done())
        },
        AdminRoute(.post, "/v1/namespaces/{namespace}/policy") { admin, request in
            let id = try request.id("namespace")
            try request.finishQuery()
            let change = try request.decode(PolicyBody.self).change()
            guard let known = admin.store.namespace(id: UInt32(clamping: id)) else {
                throw AdminError(.notFound, "not_found", "there is no namespace \(id)")
            }
            let name = known.namespace.name
            let namespace = try admin.store.configure(namespace: name, change, by: Principal(userID: Process.userID))
            admin.daemon.events.note(.changed, ["namespace": .text(name), "what": .text("policy")])
            return try .json(
                NamespaceAnswer(namespace, sessions: known.sessions, storedBytes: known.storedBytes))
        },
        AdminRoute(.put, "/v1/models/{model}/prefill_rate") { admin, request in
            let id = try request.id("model")
            try request.finishQuery()
            let body = try request.decode(RateBody.self)
            try admin.store.setPrefillRate(body.tokensPerSecond, modelID: UInt32(clamping: id))
            return try .json(Done())
        },
        AdminRoute(.put, "/v1/cap") { admin, request in
            try request.finishQuery()
            let body = try request.decode(CapBody.self)
            try admin.store.setCap(Int(clamping: body.capBytes))
            admin.daemon.events.note(.changed, ["what": .text("cap"), "cap_bytes": .number(body.capBytes)])
            return try .json(
                CapPage(capBytes: UInt64(admin.store.capBytes), diskBytes: UInt64(admin.store.diskBytes)))
        },
    ]
}

/// That it is done.
struct Done: Encodable {
    let done = true
}

struct ForkBody: Decodable {
    let offsetTokens: UInt64
    let name: String
}

struct Forked: Encodable {
    let session: UInt64
}

struct TruncateBody: Decodable {
    let offsetTokens: UInt64
}

struct EvictBody: Decodable {
    let fromTokens: UInt64?
    let shared: Bool?
}

struct EvictAnswer: Encodable {
    let chunks: Int
    let freedBytes: Int
    /// Chunks that stay: under lease, pinned, before one that is, or seen by other sessions.
    let keptChunks: Int

    init(_ outcome: EvictionOutcome) {
        chunks = outcome.chunks
        freedBytes = outcome.freedBytes
        keptChunks = outcome.kept
    }
}

struct HintBody: Decodable {
    let fromTokens: UInt64?
    let toTokens: UInt64?
    let seconds: UInt32?
    let priority: Int8?
}

/// What was made of a hint.
struct HintAnswer: Encodable {
    let outcome: String
    let bound: String
    let fromTokens: UInt64
    let toTokens: UInt64
    let seconds: UInt32
    let reason: String

    init(_ result: HintResult) {
        outcome = "\(result.outcome)"
        bound = "\(result.bound)"
        fromTokens = result.from
        toTokens = min(result.to, Limits.offsetTokens)
        seconds = result.seconds
        reason = result.reason
    }
}

struct TTLBody: Decodable {
    let ttlSeconds: UInt32
}

struct RateBody: Decodable {
    let tokensPerSecond: UInt32
}

struct CapBody: Decodable {
    let capBytes: UInt64
}

struct CapPage: Encodable {
    let capBytes: UInt64
    let diskBytes: UInt64
}

struct PolicyBody: Decodable {
    let sharing: String?
    let ttlSeconds: UInt32?
    let minBytes: UInt64?
    let maxBytes: UInt64?
    let maxSessions: UInt32?
    let admission: String?

    func change() throws(AdminError) -> NamespaceChange {
        var change = NamespaceChange()
        if let sharing {
            guard let value = Sharing.allCases.first(where: { $0.name == sharing }) else {
                throw .invalid("sharing '\(sharing.clipped)' is neither on nor off")
            }
            change.sharing = value
        }
        if let admission {
            guard let value = Admission.allCases.first(where: { $0.name == admission }) else {
                throw .invalid("admission '\(admission.clipped)' is neither everything nor second-touch")
            }
            change.admission = value
        }
        change.ttlSeconds = ttlSeconds
        change.minBytes = minBytes
        change.maxBytes = maxBytes
        change.maxSessions = maxSessions
        return change
    }
}

extension AdminRequest {
    /// The session that the path names, and the body.
    func sessionBody<Body: Decodable>(_ type: Body.Type) throws(AdminError) -> (id: UInt64, body: Body) {
        let id = try id("session")
        try finishQuery()
        return (id, try decode(type))
    }
}

extension Admin {
    /// Gives a hint on behalf of an operator. Pins are held by the admin side, and end with their time or the daemon.
    func hint(_ kind: HintKind, _ request: AdminRequest) throws -> AdminAnswer {
        let (id, body) = try request.sessionBody(HintBody.self)
        if kind == .retain || kind == .pin, body.seconds == nil {
            throw AdminError.invalid("'seconds' is missing: for how long? 0 ends what an earlier one began")
        }
        // What a session does not have is an error here, as everywhere on this side.
        try reader.requireAccess(session: id)
        let hint = Hint(
            kind, .session(id, from: body.fromTokens ?? 0, to: body.toTokens ?? .max), priority: body.priority ?? 0,
            seconds: body.seconds ?? 0)
        let results = try pins.withLock { reader in try reader.hint([hint]) }
        return try .json(HintAnswer(results[0]))
    }
}
