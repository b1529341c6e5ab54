import LarderModel

/// What one user may take of what all share, so that others find some, too. 0 stands for a part of the whole.
public struct UserLimits: Sendable {
    /// Connections; 0 for all but an eighth of `max_connections`.
    public var connections = 0
    /// Bytes of arenas; 0 for half of `arena_memory`.
    public var arenaBytes = 0
    /// Bytes of frames in memory; 0 for three quarters of `inline_memory`, but at least one frame.
    public var inlineBytes = 0
    /// Bytes of a writer's queue; 0 for its fair share, which is two thirds at most.
    public var queueBytes = 0
    /// Bytes on the disk of the namespaces that the user owns; 0 for no bound but the cap.
    public var diskBytes = 0
    /// Namespaces that the user owns.
    public var namespaces = Limits.userNamespaces

    /// The defaults.
    public init() {}
}

extension Configuration {
    /// Connections that one user may have.
    public var userConnections: Int {
        user.connections > 0 ? user.connections : max(1, maxConnections - maxConnections / 8)
    }

    /// Bytes of arenas that one user may hold.
    public var userArenaBytes: Int { user.arenaBytes > 0 ? user.arenaBytes : arenaBytes / 2 }

    /// Bytes of frames in memory that one user may hold.
    public var userInlineBytes: Int {
        let bytes = user.inlineBytes > 0 ? user.inlineBytes : inlineBytes / 4 * 3
        return max(bytes, Limits.frameBytes)
    }
}

extension Setting {
    /// What one user may take.
    static let user: [Setting] = [
        Setting(
            key: "user_connections", summary: "connections that one user may have; 0 for seven eighths of all",
            text: { "\($0.userConnections)" }
        ) { configuration, text throws(LarderError) in
            configuration.user.connections = try integer(text, 0...4_096)
        },
        Setting(
            key: "user_arena_memory", summary: "bytes of arenas that one user may hold; 0 for half of all",
            text: { "\($0.userArenaBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.user.arenaBytes = try Quantity.bytes(text)
        },
        Setting(
            key: "user_inline_memory",
            summary: "bytes of frames in memory that one user may hold; 0 for three quarters of all",
            text: { "\($0.userInlineBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.user.inlineBytes = try Quantity.bytes(text)
        },
        Setting(
            key: "user_queue", summary: "bytes of the queue that one user may hold; 0 for its fair share",
            text: { "\($0.user.queueBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.user.queueBytes = try Quantity.bytes(text)
        },
        Setting(
            key: "user_disk", summary: "bytes on the disk of the namespaces that one user owns; 0 for no bound",
            text: { "\($0.user.diskBytes)" }
        ) { configuration, text throws(LarderError) in
            configuration.user.diskBytes = try Quantity.bytes(text)
        },
        Setting(
            key: "user_namespaces", summary: "namespaces that one user may own", text: { "\($0.user.namespaces)" }
        ) { configuration, text throws(LarderError) in
            configuration.user.namespaces = try integer(text, 1...Limits.namespaces)
        },
    ]
}
