import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import LarderWire

@main
struct Larderctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "larderctl",
        abstract: "Asks and steers a running larderd.",
        discussion: """
            Exit codes: 0 done; 1 verify found damage, or the command failed; 2 the daemon refused (the message says why); \
            3 the daemon cannot be reached; 64 wrong arguments.
            """,
        subcommands: [
            Status.self, Models.self, Sessions.self, Show.self, ExplainCommand.self, Fork.self, Truncate.self,
            Drop.self,
            Retain.self, PinCommand.self, Demote.self, PrefetchCommand.self,
            Verify.self, NamespaceCommand.self, TimeToLive.self, ReportCommand.self, PrefillRateCommand.self,
            Simulate.self,
        ])
}

/// What every command that talks to a daemon takes.
struct ConnectionOptions: ParsableArguments {
    @Option(help: "Path of the daemon's data socket. Default: $LARDER_SOCKET, else /run/larder/larder.sock.")
    var socket: String?
    @Flag(help: "Print JSON instead of text.")
    var json = false

    /// Runs `body` with a connection, and turns errors into messages and exit codes.
    func withClient(_ body: (Client) throws -> Void) throws {
        let path = socket ?? Process.environment("LARDER_SOCKET") ?? "/run/larder/larder.sock"
        do {
            try body(try Client(socketPath: path, name: "larderctl"))
        } catch let error as ClientError {
            Output.error("larderctl: \(error)")
            if case .refused = error { throw ExitCode(2) }
            throw ExitCode(3)
        } catch let error as LarderError {
            Output.error("larderctl: \(error.message)")
            throw ExitCode(2)
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
                .invalidArgument, "\(sessions.count) namespaces have a session '\(text)'; say NAMESPACE/\(text)")
        }
    }
    guard let session = sessions.first else {
        throw LarderError(.unknownSession, "there is no session '\(text)'; larderctl sessions lists them")
    }
    return session
}
