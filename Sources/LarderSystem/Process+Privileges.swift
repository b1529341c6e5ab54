import CLarderSystem
import Glibc

/// What a daemon gives up, once and for all. Each before any other thread starts: the kernel keeps some of it by thread.
extension Process {
    /// Capabilities by the kernel's numbers, capabilities(7).
    public enum Capability: UInt64, Sendable, CaseIterable {
        /// chown(2) to any user or group.
        case chown = 0
        /// Files whatever their mode says.
        case overrideAccess = 1
        /// chmod(2) of files of others.
        case fileOwner = 3
        /// mlock(2) without a bound.
        case lockMemory = 14
    }

    /// No core file is written, setrlimit(2), and no process of the same user may look into this one's memory or attach to
    /// it: prctl(2), PR_SET_DUMPABLE.
    public static func hideMemory() throws(SystemError) {
        _ = ownCountersFile
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        try check("setrlimit(RLIMIT_CORE)") { setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) }
        try check("prctl(PR_SET_DUMPABLE)") { larder_set_dumpable(0) }
    }

    /// Undoes what becoming another user does by itself: core files and debuggers work. prctl(2), PR_SET_DUMPABLE.
    public static func showMemory() throws(SystemError) {
        try check("prctl(PR_SET_DUMPABLE)") { larder_set_dumpable(1) }
    }

    /// Nothing that this process executes gains rights by it: prctl(2), PR_SET_NO_NEW_PRIVS.
    public static func forgoNewPrivileges() throws(SystemError) {
        try check("prctl(PR_SET_NO_NEW_PRIVS)") { larder_set_no_new_privileges() }
    }

    /// Gives up every capability that is not among `kept`, capset(2), and takes none that is not held.
    public static func keepCapabilities(_ kept: [Capability]) throws(SystemError) {
        let mask = kept.reduce(UInt64(0)) { $0 | 1 << $1.rawValue }
        try check("capset") { larder_keep_capabilities(mask) }
    }

    /// Becomes a user for good, with its groups, or with `group` for its primary one. Throws EPERM unless this is root.
    public static func become(user: String, group: String?) throws(SystemError) {
        let userID = try Users.userID(named: user)
        let primary: UInt32
        if let group { primary = try Users.groupID(named: group) } else { primary = try Users.primaryGroupID(of: user) }
        try check("initgroups", user) { initgroups(user, primary) }
        try check("setgid", user) { setgid(primary) }
        try check("setuid", user) { setuid(userID) }
    }

    /// Bytes that this user may lock in memory, after raising the limit as far as it may; nil for no bound.
    public static func raiseLockLimit() -> Int? {
        var limit = rlimit()
        let resource = __rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return 0 }
        limit.rlim_cur = limit.rlim_max
        setrlimit(resource, &limit)
        return limit.rlim_max == rlim_t.max ? nil : Int(clamping: limit.rlim_max)
    }
}

extension Process {
    /// Runs `body` on a thread of its own that is another user's, and waits for it: what the daemon sees at a socket that is
    /// connected there is that user. For root, in tests and benchmarks.
    public static func asUser(
        _ userID: UInt32, groupID: UInt32? = nil, groups: [UInt32] = [], _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        let failure = Monitor<Int32>(0)
        try WorkerThread(name: "user-\(userID)") {
            guard larder_become_on_this_thread(userID, groupID ?? userID, groups, groups.count) == 0 else {
                let code = errno
                return failure.withLock { $0 = code }
            }
            body()
        }.join()
        let code = failure.withLock { $0 }
        if code != 0 { throw SystemError("setresuid", "user \(userID)", code: code) }
    }
}
