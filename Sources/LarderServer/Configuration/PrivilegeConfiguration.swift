import LarderModel
import LarderSystem

/// What the process gives up before it serves, and what it keeps.
public struct PrivilegeConfiguration: Sendable {
    /// The user to become; empty to stay who started it.
    public var user = ""
    /// The group to become; empty for that user's own.
    public var group = ""
    /// True if a crash may leave a core file, in which what workers keep can be read.
    public var allowsCoreDumps = false
    /// True if arenas are never swapped out.
    public var locksMemory = false

    /// The defaults.
    public init() {}
}

extension Setting {
    /// What the process gives up.
    static let privileges: [Setting] = [
        Setting(
            key: "user", summary: "user to become when started as root; empty to stay root",
            text: { $0.privileges.user }
        ) { configuration, text throws(LarderError) in
            configuration.privileges.user = text
        },
        Setting(
            key: "group", summary: "group to become with it; empty for that user's own",
            text: { $0.privileges.group }
        ) { configuration, text throws(LarderError) in
            configuration.privileges.group = text
        },
        Setting(
            key: "core_dumps", summary: "on for core files and debuggers; what workers keep can be read in them",
            text: { $0.privileges.allowsCoreDumps ? "on" : "off" }
        ) { configuration, text throws(LarderError) in
            configuration.privileges.allowsCoreDumps = try toggle(text)
        },
        Setting(
            key: "lock_memory", summary: "on to keep arenas out of swap",
            text: { $0.privileges.locksMemory ? "on" : "off" }
        ) { configuration, text throws(LarderError) in
            configuration.privileges.locksMemory = try toggle(text)
        },
    ]

    private static func toggle(_ text: String) throws(LarderError) -> Bool {
        guard text == "on" || text == "off" else { throw wrong(text, "on or off") }
        return text == "on"
    }
}

extension Configuration {
    /// Gives up what the daemon does not need. Call before any thread starts and before anything is opened.
    ///
    /// Started as root with a user to become, it first makes the directories of socket and store and gives them to that user
    /// where they are new. Throws ``LarderError`` that says what was refused and the remedy.
    public func dropPrivileges() throws(LarderError) {
        do throws(SystemError) {
            if privileges.locksMemory { _ = Process.raiseLockLimit() }
            if !privileges.user.isEmpty { try becomeUser() }
            try Process.keepCapabilities(
                [.chown, .overrideAccess, .fileOwner] + (privileges.locksMemory ? [.lockMemory] : []))
            try Process.forgoNewPrivileges()
            if privileges.allowsCoreDumps { try Process.showMemory() } else { try Process.hideMemory() }
        } catch {
            throw LarderError(.storage, "privileges cannot be given up: \(error)")
        }
        for path in trustedPaths {
            do throws(FileSystem.Distrust) {
                try FileSystem.requireTrust(path.name, leafMayBeSticky: path.maySticky)
            } catch {
                throw LarderError(.storage, "\(path.what) cannot be trusted: \(error)")
            }
        }
    }

    private func becomeUser() throws(SystemError) {
        let userID = try Users.userID(named: privileges.user)
        if Process.userID == userID && userID != 0 { return }
        let groupID =
            privileges.group.isEmpty
            ? try Users.primaryGroupID(of: privileges.user) : try Users.groupID(named: privileges.group)
        for (path, mode) in [(Self.directory(of: socket), UInt32(0o755)), (dataDirectory, 0o700)] {
            guard let path, !FileSystem.exists(path) else { continue }
            // What is above it stays root's, and is open to be passed through.
            if let parent = Self.directory(of: path) { try FileSystem.makeDirectory(parent, mode: 0o755) }
            try FileSystem.makeDirectory(path, mode: mode)
            try FileSystem.give(path, to: FileSystem.Owner(user: userID, group: groupID))
        }
        try Process.become(user: privileges.user, group: privileges.group.isEmpty ? nil : privileges.group)
    }

    /// What another user must not be able to put something else in place of.
    private var trustedPaths: [(name: String, what: String, maySticky: Bool)] {
        var paths = [(dataDirectory, "data_dir", false)]
        if let directory = Self.directory(of: socket) { paths.append((directory, "the data socket's directory", true)) }
        if let directory = adminSocketPath.flatMap({ Self.directory(of: $0) }) {
            paths.append((directory, "the admin socket's directory", true))
        }
        return paths
    }

    private static func directory(of path: String) -> String? {
        guard !path.isEmpty else { return nil }
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
