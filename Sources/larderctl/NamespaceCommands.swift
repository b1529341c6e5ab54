import ArgumentParser
import LarderClient
import LarderModel
import LarderWire

struct NamespaceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "namespace",
        abstract: "What namespaces are allowed, and how they are kept.",
        subcommands: [NamespaceListCommand.self, NamespaceShowCommand.self, NamespaceSetCommand.self])
}

/// One namespace and its policy.
struct NamespaceEntry: CommandReport {
    let id: UInt32
    let name: String
    let ownerUserID: UInt32
    let sessions: UInt64
    let sharing: String
    let hasSalt: Bool
    let ttlSeconds: UInt32
    let minBytes: UInt64
    let maxBytes: UInt64
    let maxSessions: UInt32
    let admission: String

    init(_ namespace: NamespaceSummary) {
        id = namespace.namespaceID
        name = namespace.name
        ownerUserID = namespace.ownerUserID
        sessions = namespace.sessions
        sharing = namespace.policy.sharing.name
        hasSalt = namespace.policy.hasSalt
        ttlSeconds = namespace.policy.ttlSeconds
        minBytes = namespace.policy.minBytes
        maxBytes = namespace.policy.maxBytes
        maxSessions = namespace.policy.maxSessions
        admission = namespace.policy.admission.name
    }

    /// The namespace of that name. Throws `unknownSession` if there is none that this user may use.
    init(named name: String, _ client: Client) throws {
        guard let found = try client.namespaces().first(where: { $0.name == name }) else {
            throw LarderError(
                .unknownSession,
                "there is no namespace '\(name.clipped)' that you may use; larderctl namespace list has them")
        }
        self.init(found)
    }

    fileprivate var sharingText: String { sharing + (hasSalt ? ", salted" : "") }

    func printOut() {
        print("namespace \(name) (\(id)), uid \(ownerUserID)")
        print("sessions  \(sessions), " + (maxSessions == 0 ? "no limit" : "at most \(maxSessions)"))
        let least = minBytes == 0 ? "none kept for it" : "\(Format.bytes(minBytes)) kept for it"
        print("bytes     \(least), " + (maxBytes == 0 ? "no limit" : "at most \(Format.bytes(maxBytes))"))
        print("sharing   \(sharingText)")
        print("expires   " + (ttlSeconds == 0 ? "never" : "\(Format.duration(ttlSeconds)) after the last use"))
        print("admission \(admission)")
    }
}

struct NamespaceListCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "The namespaces that you may use, and the policy of each.")
    @OptionGroup var connection: ConnectionOptions

    func report(_ client: Client) throws -> NamespaceEntries {
        NamespaceEntries(try client.namespaces().map(NamespaceEntry.init))
    }

    /// Namespaces, as an array.
    struct NamespaceEntries: CommandReport {
        private let namespaces: [NamespaceEntry]

        init(_ namespaces: [NamespaceEntry]) { self.namespaces = namespaces }

        func encode(to encoder: any Encoder) throws { try namespaces.encode(to: encoder) }

        func printOut() {
            var table = Table(
                ">id", "namespace", ">uid", ">sessions", ">at most", "sharing", ">expires after", ">min", ">max",
                "admission")
            func orNone(_ count: UInt64, _ text: (UInt64) -> String) -> String { count == 0 ? "-" : text(count) }
            for namespace in namespaces {
                table.add(
                    "\(namespace.id)", namespace.name, "\(namespace.ownerUserID)", "\(namespace.sessions)",
                    orNone(UInt64(namespace.maxSessions)) { "\($0)" }, namespace.sharingText,
                    orNone(UInt64(namespace.ttlSeconds)) { Format.duration(UInt32($0)) },
                    orNone(namespace.minBytes, Format.bytes), orNone(namespace.maxBytes, Format.bytes),
                    namespace.admission)
            }
            table.printOut()
        }
    }
}

struct NamespaceShowCommand: DaemonCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "One namespace and its policy.")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The namespace's name.")
    var name: String

    func report(_ client: Client) throws -> NamespaceEntry { try NamespaceEntry(named: name, client) }
}

struct NamespaceSetCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Change a namespace's policy, from now on; the rest of it stays.",
        discussion: """
            The owner may set --sharing, --ttl and the salt. --min, --max, --max-sessions and --admission are for root and the \
            daemon's own user.

            A salt is hashed into the keys by which workers share prefixes. With another salt, what was shared until now \
            matches no more; sessions keep what they have. The daemon shows it to nobody: keep it if you need it.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The namespace's name.")
    var name: String
    @Option(
        help: ArgumentHelp(
            "Whether equal prefixes are stored once; off: each session stores its own, and match finds none.",
            valueName: "on|off"),
        transform: Read.sharing)
    var sharing: Sharing?
    @Option(
        help: ArgumentHelp(
            "The salt, up to 64 hexadecimal digits. Others on this machine may see it while the command runs.",
            valueName: "hex"),
        transform: Read.salt)
    var salt: [UInt8]?
    @Flag(help: "Take 32 random bytes for the salt.")
    var newSalt = false
    @Flag(help: "Use no salt.")
    var noSalt = false
    @Option(
        help: ArgumentHelp("How long after its last use a session's state expires.", valueName: "24h|7d|none"),
        transform: Read.seconds)
    var ttl: UInt32?
    @Option(
        help: ArgumentHelp("Stored bytes that it keeps whatever others need.", valueName: "10GiB|none"),
        transform: Read.bytes)
    var min: UInt64?
    @Option(help: ArgumentHelp("The most stored bytes.", valueName: "100GiB|none"), transform: Read.bytes)
    var max: UInt64?
    @Option(help: ArgumentHelp("The most sessions.", valueName: "count|none"), transform: Read.count)
    var maxSessions: UInt32?
    @Option(
        help: ArgumentHelp("What is taken into the store.", valueName: "everything|second-touch"),
        transform: Read.admission)
    var admission: Admission?

    func validate() throws {
        guard [salt != nil, newSalt, noSalt].filter({ $0 }).count <= 1 else {
            throw ValidationError("Give one of --salt, --new-salt and --no-salt.")
        }
        guard !change.isEmpty else {
            throw ValidationError("Say what to change: larderctl namespace set --help lists it.")
        }
    }

    private var change: NamespaceChange {
        var change = NamespaceChange()
        change.sharing = sharing
        change.salt = salt
        if noSalt { change.salt = [] }
        if newSalt {
            // From the kernel (getrandom).
            var generator = SystemRandomNumberGenerator()
            change.salt = (0..<Limits.saltBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        }
        change.ttlSeconds = ttl
        change.minBytes = min
        change.maxBytes = max
        change.maxSessions = maxSessions
        change.admission = admission
        return change
    }

    func report(_ client: Client) throws -> NamespaceEntry {
        try client.configure(namespace: name, change)
        return try NamespaceEntry(named: name, client)
    }
}

struct TimeToLive: SessionCommand {
    static let configuration = CommandConfiguration(
        commandName: "ttl",
        abstract: "Set how long after its last use a session's state expires.",
        discussion: "A session's own time goes before its namespace's (larderctl namespace set --ttl).")
    @OptionGroup var target: SessionOptions
    @Argument(
        help: ArgumentHelp(
            "90s, 30min, 2h or 7d; never; or default: what its namespace says.", valueName: "time"),
        transform: Read.ownSeconds)
    var seconds: UInt32

    struct Report: CommandReport {
        let session: UInt64
        let name: String
        let ttlSeconds: UInt32
        let expiry: String

        func printOut() { print("session \(name): \(expiry)") }
    }

    func report(_ client: Client, _ session: SessionSummary) throws -> Report {
        try client.configure(session: session.session, ttlSeconds: seconds)
        let policy = try client.namespaces().first { $0.name == session.namespace }?.policy
        return Report(
            session: session.session, name: session.path, ttlSeconds: seconds, expiry: Format.expiry(seconds, policy))
    }
}
