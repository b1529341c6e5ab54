import ArgumentParser
import LarderAdminClient
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

struct ConfigCommand: AdminCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "The daemon's configuration in force, and where each value comes from.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var admin: AdminOptions
    @Argument(help: "Only this setting.")
    var key: String?

    struct Report: CommandReport {
        struct Setting: Codable {
            let key: String
            let value: String
            let origin: String
            let summary: String
        }

        let settings: [Setting]

        func printOut() {
            var table = Table("setting", "value", "from", "what it is")
            for setting in settings { table.add(setting.key, setting.value, setting.origin, setting.summary) }
            table.printOut()
        }
    }

    private struct Answer: Decodable {
        let settings: [Report.Setting]
    }

    func report(_ client: AdminClient) throws -> Report {
        let all = try client.get("/v1/config", as: Answer.self).settings
        let found = all.filter { key == nil || $0.key == key }
        if let key, found.isEmpty {
            throw LarderError(
                .invalidArgument, "there is no setting '\(key.clipped)'; larderctl config lists those there are")
        }
        return Report(settings: found)
    }
}

struct LogLevelCommand: AdminCommand {
    static let configuration = CommandConfiguration(
        commandName: "log-level", abstract: "Show what the daemon logs, or change it until it is restarted.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var admin: AdminOptions
    @Argument(help: "trace, debug, info, notice, warning, error or critical.")
    var level: String?

    struct Report: CommandReport, Codable {
        let level: String

        func printOut() { print("log level \(level)") }
    }

    func report(_ client: AdminClient) throws -> Report {
        guard let level else { return try client.get("/v1/log_level") }
        return try client.send("PUT", "/v1/log_level", Report(level: level))
    }
}

struct DrainCommand: AdminCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Turn workers away for maintenance, serve again, or show which.",
        discussion: """
            on: new workers are refused, requests at hand are finished, connections end, and what was accepted survives power \
            loss when the command returns. off: workers may connect again. Without either: shows how it stands.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var admin: AdminOptions
    @Argument(help: ArgumentHelp("on or off.", valueName: "on|off"))
    var state: State?

    enum State: String, ExpressibleByArgument, CaseIterable {
        case on, off
    }

    struct Report: CommandReport, Codable {
        let draining: Bool
        let connections: UInt64

        func printOut() {
            print((draining ? "draining" : "serving") + ", \(connections) workers connected")
        }
    }

    private struct Change: Encodable {
        let draining: Bool
    }

    func report(_ client: AdminClient) throws -> Report {
        guard let state else { return try client.get("/v1/drain") }
        return try client.send("PUT", "/v1/drain", Change(draining: state == .on))
    }
}

struct CompactCommand: AdminCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Free what was dropped, and sweep; with --free, evict more.",
        discussion: """
            What no session sees is freed, and the sweep goes down to the low watermark. --free SIZE evicts so much more, \
            oldest first, but not what is hot. Interrupting the command leaves the daemon at it.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var admin: AdminOptions
    @Option(
        help: ArgumentHelp("Bytes to evict beyond that, such as 2GiB.", valueName: "size"), transform: Read.size)
    var free: UInt64 = 0

    private struct Request: Encodable {
        let free_bytes: UInt64
    }

    func report(_ client: AdminClient) throws -> JobReport {
        var job = try client.send("POST", "/v1/compact", Request(free_bytes: free), as: JobReport.self)
        let bar = ProgressBar.bytes("compacting")
        while job.state == "running" {
            bar.update(job.done, of: job.total == 0 ? nil : job.total)
            Clock.sleep(milliseconds: 200)
            job = try client.get("/v1/jobs/\(job.id)")
        }
        return job
    }
}

/// Long work of the daemon, and how it ended.
struct JobReport: CommandReport, Codable {
    struct Failure: Codable {
        let code: String
        let message: String
    }

    let id: UInt64
    let kind: String
    let state: String
    let done: UInt64
    let total: UInt64
    let result: [String: UInt64]
    let error: Failure?

    func printOut() {
        let freed = result["freed_bytes"] ?? result["freedBytes"]
        print("\(kind): \(state)" + (freed.map { ", \(Format.bytes($0)) freed" } ?? ""))
        if let error { print(error.message) }
    }

    var status: ExitStatus { state == "done" ? .done : .incomplete }
}

struct EvictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evict",
        abstract: "Evict a session's state beyond an offset, from the end.",
        discussion: """
            The session stays, and what is left is a prefix that can be restored. What other sessions see is spared, unless \
            --shared is given; what is pinned or being paged in stays, and so does what is before it.
            """)
    @OptionGroup var target: SessionOptions
    @OptionGroup var admin: AdminOptions
    @Option(
        name: .customLong("from"), help: ArgumentHelp("In tokens. Default: all of it.", valueName: "offset"))
    var offset: UInt64 = 0
    @Flag(help: "Evict what other sessions see, too.")
    var shared = false

    struct Report: CommandReport {
        let session: UInt64
        let name: String
        let chunks: UInt64
        let freedBytes: UInt64
        let keptChunks: UInt64

        func printOut() {
            print("evicted \(chunks) chunks of \(name), \(Format.bytes(freedBytes)) freed")
            if keptChunks > 0 { print("\(keptChunks) chunks stay: seen by other sessions, pinned, or being paged in") }
        }
    }

    private struct Request: Encodable {
        let from_tokens: UInt64
        let shared: Bool
    }

    private struct Answer: Decodable {
        let chunks: UInt64
        let freedBytes: UInt64
        let keptChunks: UInt64
    }

    func run() throws {
        let connection = target.connection
        let session = try connection.withClient { try findSession(target.session, $0) }
        let client = admin.client(connection)
        let answer = try Failure.reported {
            try client.send(
                "POST", "/v1/sessions/\(session.session)/evict", Request(from_tokens: offset, shared: shared),
                as: Answer.self)
        }
        try connection.output.show(
            Report(
                session: session.session, name: session.path, chunks: answer.chunks, freedBytes: answer.freedBytes,
                keptChunks: answer.keptChunks))
    }
}
