import LarderModel
import LarderStore
import LarderWire

extension RequestHandler {
    func configureNamespace(_ request: ConfigureNamespace) throws(LarderError) -> PolicySummary {
        let namespace = try store.configure(
            namespace: request.namespace, request.change, by: peer.principal)
        return PolicySummary(namespace.policy)
    }

    func listNamespaces(_ request: ListNamespaces) throws(LarderError) -> NamespaceList {
        NamespaceList(
            namespaces: store.namespaces(after: request.after, by: peer.principal).map { entry in
                NamespaceSummary(
                    namespaceID: entry.namespace.id, name: entry.namespace.name,
                    ownerUserID: entry.namespace.ownerUserID, sessions: UInt64(entry.sessions),
                    policy: PolicySummary(entry.namespace.policy))
            })
    }

    func configureSession(_ request: ConfigureSession) throws(LarderError) -> Done {
        try reader.requireAccess(session: request.session)
        try store.configure(session: request.session, ttlSeconds: request.ttlSeconds)
        return Done()
    }
}
