import LarderModel
import LarderSystem

/// Who asks, as the kernel says.
public struct Principal: Sendable, Hashable {
    /// Effective user id.
    public let userID: UInt32
    /// Effective group id and supplementary groups.
    public let groupIDs: Set<UInt32>

    /// A principal from its fields.
    public init(userID: UInt32, groupIDs: Set<UInt32> = []) {
        self.userID = userID
        self.groupIDs = groupIDs
    }

    /// Root and the daemon's own user may use every namespace: they can read the store's files.
    public var isOperator: Bool { userID == 0 || userID == Process.userID }
}

/// What a principal may do in a namespace.
public enum AccessRights: String, Sendable, Comparable, CaseIterable {
    /// Nothing: the namespace is answered like one that does not exist.
    case none
    /// Everything that changes nothing: resume, page in, match, explain, list, verify, report.
    case read
    /// That, and put, fork, truncate, drop, hints, repair and policies.
    case write

    public static func < (one: AccessRights, other: AccessRights) -> Bool { one.rank < other.rank }

    private var rank: Int { self == .none ? 0 : self == .read ? 1 : 2 }
}

/// Who may use which namespace.
///
/// Without rules a namespace is its owner's: the user whose worker first opened it. With rules they alone decide, whoever the
/// owner is, so that access can be taken away, too.
public struct AccessTable: Sendable, Hashable {
    /// Users and groups that have rights in namespaces.
    public struct Rule: Sendable, Hashable {
        /// A namespace's name, or the start of names, followed by `*`.
        public var namespace: String
        /// User ids.
        public var users: Set<UInt32>
        /// Group ids.
        public var groups: Set<UInt32>
        /// What they may do; never ``AccessRights/none``.
        public var rights: AccessRights

        /// A rule from its fields.
        public init(namespace: String, users: Set<UInt32> = [], groups: Set<UInt32> = [], rights: AccessRights) {
            self.namespace = namespace
            self.users = users
            self.groups = groups
            self.rights = rights
        }

        /// As it is written in the configuration, by numbers.
        public var text: String {
            "[[access]]\nnamespace = \"\(namespace)\"\nusers = \(users.sorted())\ngroups = \(groups.sorted())\n"
                + "rights = \"\(rights.rawValue)\""
        }

        func names(_ principal: Principal) -> Bool {
            users.contains(principal.userID) || !groups.isDisjoint(with: principal.groupIDs)
        }

        func covers(_ name: String) -> Bool {
            // By bytes: String's own comparison does not tell normalisation forms apart, and names are told apart.
            let pattern = Array(namespace.utf8)
            if pattern.last == UInt8(ascii: "*") { return name.utf8.starts(with: pattern.dropLast()) }
            return name.utf8.elementsEqual(pattern)
        }
    }

    /// In any order: the most that any of them gives is what a principal has.
    public var rules: [Rule]

    /// A table from its rules.
    public init(_ rules: [Rule] = []) { self.rules = rules }

    /// What a principal may do in a namespace of that name.
    ///
    /// - Parameter owner: the namespace's owner; nil if it does not exist, and so can be anyone's.
    public func rights(_ principal: Principal, namespace: String, owner: UInt32?) -> AccessRights {
        if principal.isOperator { return .write }
        if rules.isEmpty { return owner == nil || owner == principal.userID ? .write : .none }
        var most = AccessRights.none
        // Each rule is looked at, whatever those before it said: the time tells nothing of which one it was.
        for rule in rules where rule.names(principal) && rule.covers(namespace) { most = max(most, rule.rights) }
        return most
    }
}

extension Store {
    /// What a principal may do in a namespace.
    func rights(_ principal: Principal, in namespace: StoredNamespace) -> AccessRights {
        configuration.access.rights(principal, namespace: namespace.name, owner: namespace.ownerUserID)
    }

    /// The namespace of that name, if the principal may see it: what is hidden from it and what does not exist are one.
    func namespace(named name: String, visibleTo principal: Principal) -> StoredNamespace? {
        guard let found = catalog.namespace(named: name), rights(principal, in: found) > .none else { return nil }
        return found
    }

    /// Throws ``ErrorCode/forbidden`` unless the principal may change a namespace that it sees.
    func requireWrite(_ namespace: StoredNamespace, _ principal: Principal) throws(LarderError) {
        guard rights(principal, in: namespace) == .write else { throw LarderError.forbidden(namespace: namespace.name) }
    }

    /// The namespace to open a session in, made if it is missing and `create` says so. Throws `unknownSession`, or
    /// `forbidden`, which says no more of a namespace that is there than of one that is not.
    func namespace(
        toOpen name: String, create: Bool, by principal: Principal
    ) throws(LarderError) -> StoredNamespace {
        if let known = namespace(named: name, visibleTo: principal) { return known }
        guard create else {
            throw LarderError(
                .unknownSession,
                "there is no namespace '\(name.clipped)'; open the session with create to make it")
        }
        guard configuration.access.rights(principal, namespace: name, owner: nil) == .write else {
            throw LarderError.forbidden(namespace: name)
        }
        let made = try catalog.openNamespace(
            name, userID: principal.userID, ownedAtMost: configuration.userNamespaces, writers[0])
        quotas.set(made)
        try requireWrite(made, principal)
        return made
    }
}

extension LarderError {
    static func forbidden(namespace: String) -> LarderError {
        LarderError(
            .forbidden,
            "this user may not write to namespace '\(namespace.clipped)'; choose a namespace of your own, or ask the "
                + "operator for access")
    }
}
