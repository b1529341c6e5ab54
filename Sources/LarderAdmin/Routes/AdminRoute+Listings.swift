import Hummingbird
import LarderModel
import LarderServer
import LarderStore
import LarderSystem

extension AdminRoute {
    /// Models, namespaces and sessions, in pages.
    static let listings: [AdminRoute] = [
        AdminRoute(.get, "/v1/models") { admin, request in
            let after = try request.number("cursor", in: 0...UInt64(UInt32.max)) ?? 0
            let limit = try request.limit()
            try request.finishQuery()
            let models = admin.store.models(after: UInt32(after))
            return try .json(
                ModelPage(
                    models: models.prefix(limit).map { ModelAnswer($0) },
                    nextCursor: models.count > limit ? "\(models[limit - 1].id)" : nil))
        },
        AdminRoute(.get, "/v1/namespaces") { admin, request in
            let after = try request.number("cursor", in: 0...UInt64(UInt32.max)) ?? 0
            let limit = try request.limit()
            try request.finishQuery()
            let entries = admin.store.namespaces(after: UInt32(after), by: Principal(userID: Process.userID))
            return try .json(
                NamespacePage(
                    namespaces: entries.prefix(limit).map { entry in
                        NamespaceAnswer(
                            entry.namespace, sessions: entry.sessions,
                            storedBytes: admin.store.storedBytes(namespaceID: entry.namespace.id))
                    }, nextCursor: entries.count > limit ? "\(entries[limit - 1].namespace.id)" : nil))
        },
        AdminRoute(.get, "/v1/sessions") { admin, request in
            let query = try SessionQuery(request)
            return try .json(try SessionPage(query, admin.reader))
        },
    ]
}

/// The answer of `/v1/models`.
struct ModelPage: Encodable {
    let models: [ModelAnswer]
    let nextCursor: String?
}

/// A model as it was declared.
struct ModelAnswer: Encodable {
    struct ComponentAnswer: Encodable {
        let name: String
        let kind: String
        let elementType: String
        let layers: UInt32
        let planes: UInt32
        let rowBytes: UInt32
        let windowTokens: UInt32
    }

    let id: UInt32
    let fingerprint: String
    let name: String
    let revision: String
    let weights: String
    let pageTokens: UInt32
    let groupSize: UInt32
    let rank: UInt32
    let components: [ComponentAnswer]

    init(_ model: StoredModel) {
        let declaration = model.declaration
        id = model.id
        fingerprint = model.fingerprint.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        name = declaration.name
        revision = declaration.revision
        weights = declaration.weights
        pageTokens = declaration.pageTokens
        groupSize = declaration.groupSize
        rank = declaration.rank
        components = declaration.components.map {
            ComponentAnswer(
                name: $0.name, kind: "\($0.kind)", elementType: $0.elementType.name, layers: $0.layers,
                planes: $0.planes, rowBytes: $0.rowBytes, windowTokens: $0.window)
        }
    }
}

/// The answer of `/v1/namespaces`.
struct NamespacePage: Encodable {
    let namespaces: [NamespaceAnswer]
    let nextCursor: String?
}

/// A namespace, what it takes, and its policy. Limits of 0 are none.
struct NamespaceAnswer: Encodable {
    struct Policy: Encodable {
        let sharing: String
        /// Whether there is a salt: the salt itself is the owner's.
        let salted: Bool
        let ttlSeconds: UInt32
        let minBytes: UInt64
        let maxBytes: UInt64
        let maxSessions: UInt32
        let admission: String
    }

    let id: UInt32
    let name: String
    let ownerUid: UInt32
    let sessions: Int
    let storedBytes: UInt64
    let policy: Policy

    init(_ namespace: StoredNamespace, sessions: Int, storedBytes: UInt64) {
        id = namespace.id
        name = namespace.name
        ownerUid = namespace.ownerUserID
        self.sessions = sessions
        self.storedBytes = storedBytes
        policy = Policy(
            sharing: namespace.policy.sharing.name, salted: !namespace.policy.salt.isEmpty,
            ttlSeconds: namespace.policy.ttlSeconds, minBytes: namespace.policy.minBytes,
            maxBytes: namespace.policy.maxBytes, maxSessions: namespace.policy.maxSessions,
            admission: namespace.policy.admission.name)
    }
}
