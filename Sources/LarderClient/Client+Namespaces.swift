import LarderModel
import LarderWire

extension Client {
    /// Changes a namespace's policy, which is stored when the call returns, and returns the policy in force. A change of
    /// nothing asks for it.
    ///
    /// The owner may set sharing, salt and time to live; the rest is for root and the daemon's own user (`forbidden`).
    @discardableResult
    public func configure(
        namespace: String, _ change: NamespaceChange = NamespaceChange()
    ) throws(ClientError) -> PolicySummary {
        let salt = change.salt?.count ?? 0
        guard salt <= Limits.saltBytes else {
            throw .refused(
                LarderError(
                    .invalidArgument, "a salt of \(salt) bytes is too long; give 0 to \(Limits.saltBytes) bytes"))
        }
        return try transport.ask(ConfigureNamespace(namespace: namespace, change: change))
    }

    /// Every namespace that this user may use, in order of id.
    public func namespaces() throws(ClientError) -> [NamespaceSummary] {
        var all: [NamespaceSummary] = []
        while true {
            let page = try transport.ask(ListNamespaces(after: all.last?.namespaceID ?? 0)).namespaces
            all += page
            if page.count < Limits.pageEntries { return all }
        }
    }

    /// Sets the seconds since a session's last use after which its state expires; 0 for what its namespace says.
    public func configure(session: UInt64, ttlSeconds: UInt32) throws(ClientError) {
        _ = try transport.ask(ConfigureSession(session: session, ttlSeconds: ttlSeconds))
    }
}
