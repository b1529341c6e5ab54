import Hummingbird
import LarderMetrics
import LarderModel
import LarderServer
import LarderStore
import LarderSystem

extension AdminRoute {
    /// Health, metrics, status.
    static let basics: [AdminRoute] = [
        AdminRoute(.get, "/healthz", isOpen: true) { admin, request in
            try request.finishQuery()
            return try .json(Health(status: admin.daemon.isDraining ? "draining" : "ok"))
        },
        AdminRoute(.get, "/metrics") { admin, request in
            try request.finishQuery()
            return .text(admin.registry.exposition(), type: MetricText.contentType)
        },
        AdminRoute(.get, "/v1/status") { admin, request in
            try request.finishQuery()
            return try .json(StatusAnswer(admin))
        },
    ]
}

/// The answer of `/healthz`.
struct Health: Encodable {
    /// `ok`, or `draining`.
    let status: String
}

/// The answer of `/v1/status`.
struct StatusAnswer: Encodable {
    struct Peer: Encodable {
        let connection: UInt64
        let clientName: String
        let uid: UInt32
        let pid: Int32
        let connectedSeconds: UInt64
    }

    let facts: [String: String]
    let counters: [String: UInt64]
    let draining: Bool
    let logLevel: String
    let peers: [Peer]

    init(_ admin: Admin) {
        let daemon = admin.daemon
        facts = Dictionary(daemon.facts.map { ($0.name, $0.value) }) { first, _ in first }
        counters = Dictionary(daemon.counters.map { ($0.name, $0.value) }) { first, _ in first }
        draining = daemon.isDraining
        logLevel = DaemonLog.currentLevel.rawValue
        peers = daemon.peers.map {
            Peer(
                connection: $0.number, clientName: $0.clientName, uid: $0.credentials.userID,
                pid: $0.credentials.processID, connectedSeconds: $0.connectedSeconds)
        }
    }
}
