import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Peers of other users, which only root can be.
enum OtherUsers {
    static let owner: UInt32 = 61_001
    static let stranger: UInt32 = 61_002
    static let group: UInt32 = 62_001

    static let areThere: Bool = {
        if Process.userID == 0 { return true }
        print("skipped: being other users takes root")
        return false
    }()

    /// A daemon whose socket others may reach, with a configuration file if there is text for one.
    static func daemon(_ text: String = "", arguments: [String] = []) throws -> TestDaemon {
        let file = try TemporaryDirectory()
        try FileSystem.write(Array(text.utf8), to: file.path + "/larder.toml")
        let daemon = try TestDaemon.started(
            arguments: ["--socket-mode", "0666", "--config", file.path + "/larder.toml"] + arguments)
        try FileSystem.setAccess(daemon.directory.path, mode: 0o755, group: nil)
        return daemon
    }

    /// A client of another user.
    static func connect(_ daemon: TestDaemon, _ user: UInt32, groups: [UInt32] = []) throws -> Client {
        let path = daemon.socket
        let made = Monitor<Result<Client, ClientError>?>(nil)
        try Process.asUser(user, groups: groups) {
            let result = Result { () throws(ClientError) in try Client(socketPath: path, name: "user \(user)") }
            made.withLock { $0 = result }
        }
        return try made.withLock { $0 }!.get()
    }

    /// What a peer is told: the answer, or code and text of the refusal.
    static func told<Value>(_ body: () throws -> Value) -> String {
        do { return "\(try body())" } catch ClientError.refused(let error) {
            return "\(error.code): \(error.message)"
        } catch { return "\(error)" }
    }
}
