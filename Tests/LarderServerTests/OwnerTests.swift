import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Another user's process at the socket (SO_PEERCRED): it sees nothing of a namespace that is not its own.
@Suite struct OwnerTests {
    private static let stranger = 65_534

    private static let mayChangeUser: Bool = {
        if Process.userID == 0 && FileSystem.exists("/usr/bin/setpriv") { return true }
        print("OwnerTests: skipped, running a process as another user takes root and setpriv")
        return false
    }()

    /// Runs larderctl as another user, from a place that this user can read.
    private func run(_ daemon: TestDaemon, _ arguments: String...) throws -> (code: Int32, output: String) {
        let directory = daemon.directory.path
        let path = directory + "/output-\(arguments.joined(separator: "-").filter(\.isLetter))"
        try FileSystem.setAccess(directory, mode: 0o755, group: nil)
        let words = ["--reuid=\(Self.stranger)", "--regid=\(Self.stranger)", "--clear-groups"]
        let command = [TestDaemon.executable("larderctl")] + arguments + ["--socket", daemon.socket]
        let code = try ChildProcess("/usr/bin/setpriv", words + command, output: path).wait()
        return (code, String(decoding: try FileSystem.read(path, limit: 1 << 20), as: UTF8.self))
    }

    @Test(.enabled(if: mayChangeUser)) func keepsStrangersOut() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started(arguments: ["--socket-mode", "0666"])
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = Array(state.pieces(chunkTokens: 256).prefix(2))
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        let list = try run(daemon, "sessions", "--json")
        // The build folder may be closed to other users; then nothing can be shown.
        if list.output.contains("Permission denied") || list.code == 126 || list.code == 127 {
            print("OwnerTests: skipped, another user cannot run \(TestDaemon.executable("larderctl"))")
            return
        }
        #expect(list.code == 0 && !list.output.contains("gpl"))
        #expect(try run(daemon, "drop", "\(session)").code == 2)
        #expect(try run(daemon, "fork", "\(session)", "256", "stolen").code == 2)
        #expect(try run(daemon, "truncate", "\(session)", "0").code == 2)
        #expect(try run(daemon, "ttl", "\(session)", "1h").code == 2)
        let cap = try run(daemon, "cap", "1GiB")
        #expect(cap.code == 2 && cap.output.contains("ask the operator"))
        let namespaces = try run(daemon, "namespace", "list", "--json")
        #expect(namespaces.code == 0 && !namespaces.output.contains("test"))
        let set = try run(daemon, "namespace", "set", "test", "--sharing", "off")
        #expect(set.code == 2 && set.output.contains("there is no namespace 'test'"))
        #expect(try client.configure(namespace: "test") == PolicySummary(NamespacePolicy()))
        let named = try run(daemon, "show", "test/gpl")
        #expect(named.code == 2 && !named.output.contains("1599"))
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
    }
}
