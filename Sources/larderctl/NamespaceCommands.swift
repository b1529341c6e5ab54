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

/// A namespace in JSON.
private struct NamespaceEntry: Encodable {
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
}

struct NamespaceListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "The namespaces that you may use, and the policy of each.")
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        try connection.withClient { client in
            let namespaces = try client.namespaces()
            if connection.json {
                print(try Format.json(namespaces.map(NamespaceEntry.init)))
                return
            }
            var table = Table(
                ">id", "namespace", ">uid", ">sessions", ">at most", "sharing", ">expires after", ">min", ">max",
                "admission")
            func orNone(_ count: UInt64, _ text: (UInt64) -> String) -> String { count == 0 ? "-" : text(count) }
            for namespace in namespaces {
                let policy = namespace.policy
                table.add(
                    "\(namespace.namespaceID)", namespace.name, "\(namespace.ownerUserID)", "\(namespace.sessions)",
                    orNone(UInt64(policy.maxSessions)) { "\($0)" }, policy.sharingText,
                    orNone(UInt64(policy.ttlSeconds)) { Format.duration(UInt32($0)) },
                    orNone(policy.minBytes, Format.bytes), orNone(policy.maxBytes, Format.bytes),
                    policy.admission.name)
            }
            table.printOut()
        }
    }
}

struct NamespaceShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "One namespace and its policy.")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The namespace's name.")
    var name: String

    func run() throws {
        try connection.withClient { try printNamespace(name, $0, json: connection.json) }
    }
}

struct NamespaceSetCommand: ParsableCommand {
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

    func run() throws {
        try connection.withClient { client in
            try client.configure(namespace: name, change)
            try printNamespace(name, client, json: connection.json)
        }
    }
}

struct TimeToLive: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ttl",
        abstract: "Set how long after its last use a session's state expires.",
        discussion: "A session's own time goes before its namespace's (larderctl namespace set --ttl).")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number.")
    var session: String
    @Argument(
        help: ArgumentHelp(
            "90s, 30min, 2h or 7d; never; or default: what its namespace says.", valueName: "time"),
        transform: Read.ownSeconds)
    var seconds: UInt32

    private struct Report: Encodable {
        let session: UInt64
        let ttlSeconds: UInt32
    }

    func run() throws {
        try connection.withClient { client in
            let found = try findSession(session, client)
            try client.configure(session: found.session, ttlSeconds: seconds)
            if connection.json {
                print(try Format.json(Report(session: found.session, ttlSeconds: seconds)))
            } else {
                let policy = try client.namespaces().first { $0.name == found.namespace }?.policy
                print("session \(found.namespace)/\(found.name): \(Format.expiry(seconds, policy))")
            }
        }
    }
}

/// Prints one namespace for people or as JSON.
private func printNamespace(_ name: String, _ client: Client, json: Bool) throws {
    guard let found = try client.namespaces().first(where: { $0.name == name }) else {
        throw LarderError(
            .unknownSession,
            "there is no namespace '\(name.clipped)' that you may use; larderctl namespace list has them")
    }
    if json {
        print(try Format.json(NamespaceEntry(found)))
        return
    }
    let policy = found.policy
    print("namespace \(found.name) (\(found.namespaceID)), uid \(found.ownerUserID)")
    print("sessions  \(found.sessions), " + (policy.maxSessions == 0 ? "no limit" : "at most \(policy.maxSessions)"))
    let least = policy.minBytes == 0 ? "none kept for it" : "\(Format.bytes(policy.minBytes)) kept for it"
    print("bytes     \(least), " + (policy.maxBytes == 0 ? "no limit" : "at most \(Format.bytes(policy.maxBytes))"))
    print("sharing   \(policy.sharingText)")
    let expiry = policy.ttlSeconds == 0 ? "never" : "\(Format.duration(policy.ttlSeconds)) after the last use"
    print("expires   \(expiry)")
    print("admission \(policy.admission.name)")
}

extension PolicySummary {
    fileprivate var sharingText: String { sharing.name + (hasSalt ? ", salted" : "") }
}

/// Reads the values of options; what is wrong is said in one sentence.
private enum Read {
    static func sharing(_ text: String) throws -> Sharing { try named(text, Sharing.allCases, \.name) }

    static func admission(_ text: String) throws -> Admission { try named(text, Admission.allCases, \.name) }

    static func bytes(_ text: String) throws -> UInt64 {
        text == "none" ? 0 : UInt64(try quantity { () throws(LarderError) in try Quantity.bytes(text) })
    }

    static func seconds(_ text: String) throws -> UInt32 {
        text == "none" ? 0 : try quantity { () throws(LarderError) in try Quantity.seconds(text) }
    }

    static func ownSeconds(_ text: String) throws -> UInt32 {
        switch text {
        case "default": return 0
        case "never": return NamespacePolicy.never
        default:
            let seconds = try seconds(text)
            guard seconds > 0 else { throw ValidationError("say never, or default for what the namespace says") }
            return seconds
        }
    }

    static func count(_ text: String) throws -> UInt32 {
        if text == "none" { return 0 }
        guard let count = UInt32(text) else { throw ValidationError("'\(text.clipped)' is not a count, nor none") }
        return count
    }

    static func salt(_ text: String) throws -> [UInt8] {
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == text.count, text.allSatisfy(\.isASCII), digits.count % 2 == 0, !digits.isEmpty,
            digits.count <= 2 * Limits.saltBytes
        else { throw ValidationError("a salt is 2 to \(2 * Limits.saltBytes) hexadecimal digits, an even number") }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    private static func named<Value>(_ text: String, _ all: [Value], _ name: (Value) -> String) throws -> Value {
        guard let value = all.first(where: { name($0) == text }) else {
            throw ValidationError("'\(text.clipped)' is not \(all.map(name).joined(separator: " or "))")
        }
        return value
    }

    private static func quantity<Value>(_ read: () throws(LarderError) -> Value) throws -> Value {
        do { return try read() } catch { throw ValidationError(error.message) }
    }
}
