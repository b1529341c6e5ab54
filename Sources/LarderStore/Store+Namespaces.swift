import LarderModel

extension Store {
    /// Changes a namespace's policy and returns the namespace as it then is; survives the daemon's death when it returns. A
    /// change of nothing tells the policy in force.
    ///
    /// Who may write to the namespace sets sharing, salt and time to live; quotas and admission are for root and the
    /// daemon's own user. What is stored stays as it is: sessions keep chunks that they shared before, and sessions above
    /// a new limit stay.
    ///
    /// Throws ``LarderError``: `unknownSession` for a namespace that does not exist and for one that the user may not see,
    /// `forbidden` for one that it may only read and for fields that it may not set, `invalidArgument` for a policy that
    /// contradicts itself, or minima that together are above what the store can hold.
    @discardableResult
    public func configure(
        namespace name: String, _ change: NamespaceChange, by principal: Principal
    ) throws(LarderError) -> StoredNamespace {
        try catalog.adding.withLock { _ throws(LarderError) in
            guard var namespace = self.namespace(named: name, visibleTo: principal) else {
                throw LarderError(
                    .unknownSession, "there is no namespace '\(name.clipped)'; open a session in it, and it is made")
            }
            if change.isEmpty { return namespace }
            try requireWrite(namespace, principal)
            try requireOperator(change, namespace, principal)
            namespace.policy = change.applied(to: namespace.policy)
            try namespace.policy.validate()
            if change.minBytes != nil { try requireRoom(for: namespace) }
            try writers[0].perform(
                PutRecordMutation(\.namespaces, id: namespace.id, namespace.fields, isNew: false))
            catalog.keep(namespace)
            quotas.set(namespace)
            return namespace
        }
    }

    /// One page of the namespaces that a user may use, with ids above `after`, in order, and how many sessions each has.
    public func namespaces(
        after: UInt32, by principal: Principal
    ) -> [(namespace: StoredNamespace, sessions: Int)] {
        catalog.namespaces.filter { $0.id > after && rights(principal, in: $0) > .none }.sorted { $0.id < $1.id }
            .prefix(Limits.pageEntries).map { ($0, catalog.sessionCounts.count($0.id)) }
    }

    /// The namespace of an id, how many sessions it has and its stored bytes in all shards; nil if there is none.
    public func namespace(id: UInt32) -> (namespace: StoredNamespace, sessions: Int, storedBytes: UInt64)? {
        catalog.namespace(id).map { ($0, catalog.sessionCounts.count(id), quotas.bytes(id)) }
    }

    /// Stored bytes of a namespace, in all shards.
    public func storedBytes(namespaceID: UInt32) -> UInt64 { quotas.bytes(namespaceID) }

    /// Every namespace's name, stored bytes and sessions, in no order.
    public var namespaceUsage: [(name: String, storedBytes: UInt64, sessions: Int)] {
        catalog.namespaces.map { ($0.name, quotas.bytes($0.id), catalog.sessionCounts.count($0.id)) }
    }

    /// What paging has saved since the store was opened, all in all.
    public var savingsSinceStart: SavingsTally { savings.total }

    /// What was newly written since the store was opened, by encoding.
    public var encodings: EncodingTally { savings.encodings.total }

    /// Sets the seconds since a session's last use after which its state expires; 0 for what its namespace says.
    public func configure(session: UInt64, ttlSeconds: UInt32) throws(LarderError) {
        try writer(of: session).perform(ConfigureSessionMutation(session: session, ttlSeconds: ttlSeconds))
    }

    /// Throws `forbidden` if a change has fields that only root and the daemon's own user may set.
    private func requireOperator(
        _ change: NamespaceChange, _ namespace: StoredNamespace, _ principal: Principal
    ) throws(LarderError) {
        guard !principal.isOperator, let field = change.operatorFields.first else { return }
        throw LarderError(
            .forbidden,
            "\(field) of namespace '\(namespace.name.clipped)' is set by root or the daemon's own user; ask the operator"
        )
    }

    /// Throws `invalidArgument` if the minima of all namespaces together are above what the store can hold.
    private func requireRoom(for namespace: StoredNamespace) throws(LarderError) {
        let usable = shards.reduce(0) { $0 + UInt64($1.usablePages) * 4_096 }
        var others: UInt64 = 0
        for other in catalog.namespaces where other.id != namespace.id {
            others = others.addingReportingOverflow(other.policy.minBytes).partialValue
        }
        let (sum, overflow) = others.addingReportingOverflow(namespace.policy.minBytes)
        guard !overflow, sum <= usable else {
            throw LarderError(
                .invalidArgument,
                "a minimum of \(namespace.policy.minBytes) bytes for '\(namespace.name.clipped)', beside the \(others) that "
                    + "other namespaces keep, is above the \(usable) bytes that the store can hold; lower one of them, "
                    + "or raise the cap")
        }
    }
}
