import ArgumentParser
import LarderArchive
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// How a command ends. The numbers are stable: scripts may depend on them.
enum ExitStatus: Int32 {
    /// All was done.
    case done = 0
    /// Something is wrong with what was looked at, or a part could not be done: what was printed says what.
    case incomplete = 1
    /// Nothing was done: the daemon refused, or a file or directory is not fit for it. The message says what to do.
    case refused = 2
    /// The daemon cannot be reached, or the connection to it broke.
    case unreachable = 3
    /// The arguments make no sense (sysexits.h, EX_USAGE).
    case usage = 64

    /// To throw.
    var code: ExitCode { ExitCode(rawValue) }
}

/// What a command found or did. Printed as JSON with --json, else as text.
protocol CommandReport: Encodable {
    /// Prints it for people.
    func printOut()
    /// How the command is to end.
    var status: ExitStatus { get }
}

extension CommandReport {
    var status: ExitStatus { .done }
}

/// What every command takes.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON instead of text.")
    var json = false

    /// Prints a report, and ends the command as it says.
    func show(_ report: some CommandReport) throws {
        if json { print(try Format.json(report)) } else { report.printOut() }
        if report.status != .done { throw report.status.code }
    }
}

/// What every command that talks to a daemon takes.
struct ConnectionOptions: ParsableArguments {
    @Option(help: "Path of the daemon's data socket. Default: $LARDER_SOCKET, else /run/larder/larder.sock.")
    var socket: String?
    @OptionGroup var output: OutputOptions

    /// True to print JSON.
    var json: Bool { output.json }

    /// The path of the data socket.
    var path: String { socket ?? Process.environment("LARDER_SOCKET") ?? "/run/larder/larder.sock" }

    /// Runs `body` with a connection, and turns errors into messages and exit codes.
    ///
    /// - Parameter timeoutSeconds: longest wait for the daemon to send or take bytes; 0 for no bound.
    func withClient<Result>(timeoutSeconds: Int = 60, _ body: (Client) throws -> Result) throws -> Result {
        try Failure.reported {
            try body(try Client(socketPath: path, name: "larderctl", timeoutSeconds: timeoutSeconds))
        }
    }
}

/// A command that asks a daemon one thing.
protocol DaemonCommand: ParsableCommand {
    associatedtype Report: CommandReport
    /// How to reach the daemon.
    var connection: ConnectionOptions { get }
    /// Longest wait for the daemon to send or take bytes; 0 for no bound.
    var timeoutSeconds: Int { get }
    /// Asks, and returns what is to be printed.
    func report(_ client: Client) throws -> Report
}

extension DaemonCommand {
    var timeoutSeconds: Int { 60 }

    func run() throws {
        try connection.output.show(try connection.withClient(timeoutSeconds: timeoutSeconds) { try report($0) })
    }
}

/// What every command that is about one session takes.
struct SessionOptions: ParsableArguments {
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "NAMESPACE/NAME, or the session's number.")
    var session: String
}

/// A command that is about one session.
protocol SessionCommand: DaemonCommand {
    /// Which session, and how to reach the daemon.
    var target: SessionOptions { get }
    /// Asks, and returns what is to be printed.
    func report(_ client: Client, _ session: SessionSummary) throws -> Report
}

extension SessionCommand {
    var connection: ConnectionOptions { target.connection }

    func report(_ client: Client) throws -> Report { try report(client, try findSession(target.session, client)) }
}

extension SessionSummary {
    /// As people name it.
    var path: String { "\(namespace)/\(name)" }
}

/// Errors as a command tells them.
enum Failure {
    /// Runs `body`; prints the error that it throws, and throws the exit code instead.
    static func reported<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch {
            guard let status = status(error) else { throw error }
            Output.error("larderctl: \(message(error))")
            throw status.code
        }
    }

    /// One sentence for a person.
    static func message(_ error: any Error) -> String { (error as? LarderError)?.message ?? "\(error)" }

    /// How a command ends that failed so; nil for what ArgumentParser tells by itself.
    private static func status(_ error: any Error) -> ExitStatus? {
        switch error {
        case let error as ClientError: if case .refused = error { .refused } else { .unreachable }
        case let error as ArchiveFailure:
            switch error {
            case .cutOff, .damaged: .incomplete
            case .system, .notExport, .version: .refused
            }
        case is LarderError, is SystemError: .refused
        default: nil
        }
    }
}

/// Finds the session that a person means by `NAMESPACE/NAME` or by its number.
func findSession(_ text: String, _ client: Client) throws -> SessionSummary {
    let sessions: [SessionSummary]
    if let slash = text.firstIndex(of: "/") {
        let namespace = String(text[..<slash])
        let name = String(text[text.index(after: slash)...])
        sessions = try client.sessions(namespace: namespace).filter { $0.name == name }
    } else if let id = UInt64(text) {
        sessions = try client.sessions().filter { $0.session == id }
    } else {
        sessions = try client.sessions().filter { $0.name == text }
        if sessions.count > 1 {
            throw LarderError(
                .invalidArgument,
                "\(sessions.count) namespaces have a session '\(text.clipped)'; say NAMESPACE/\(text.clipped)")
        }
    }
    guard let session = sessions.first else {
        throw LarderError(.unknownSession, "there is no session '\(text.clipped)'; larderctl sessions lists them")
    }
    return session
}
