import ArgumentParser
import LarderAdminClient
import LarderClient
import LarderModel
import LarderSystem

/// What commands take that ask the daemon's admin side.
struct AdminOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Path of the daemon's admin socket. Default: $LARDER_ADMIN_SOCKET, else admin.sock beside the data socket.",
            valueName: "socket"), completion: .file())
    var adminSocket: String?

    /// A client for the admin socket.
    func client(_ connection: ConnectionOptions) -> AdminClient {
        if let path = adminSocket ?? Process.environment("LARDER_ADMIN_SOCKET") { return AdminClient(socketPath: path) }
        let data = connection.path
        let directory = data.lastIndex(of: "/").map { String(data[...$0]) } ?? ""
        return AdminClient(socketPath: directory + "admin.sock")
    }
}

/// A command that asks the admin side one thing.
protocol AdminCommand: ParsableCommand {
    associatedtype Report: CommandReport
    /// How to reach the daemon.
    var connection: ConnectionOptions { get }
    /// How to reach its admin side.
    var admin: AdminOptions { get }
    /// Asks, and returns what is to be printed.
    func report(_ client: AdminClient) throws -> Report
}

extension AdminCommand {
    func run() throws {
        let client = admin.client(connection)
        try connection.output.show(try Failure.reported { try report(client) })
    }
}

/// A request without anything in it.
struct NoContent: Codable {}
