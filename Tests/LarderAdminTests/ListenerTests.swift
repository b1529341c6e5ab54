import LarderClient
import LarderModel
import LarderServer
import LarderSystem
import LarderTestSupport
import Testing

/// Who may ask: users on the Unix socket, tokens on TCP; and what a browser may not be made to do.
@Suite struct ListenerTests {
    private static let token = "0123456789abcdef0123456789abcdef"

    private func started(_ mode: UInt32 = 0o600, token: String = token) throws -> (admin: AdminDaemon, port: UInt16) {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/token"
        try FileSystem.write(Array((token + "\n").utf8), to: path, mode: mode)
        // A port that was free a moment ago.
        for _ in 0..<20 {
            let port = UInt16.random(in: 20_000...60_000)
            guard HTTPPeer(port: port) == nil else { continue }
            let arguments = ["--admin-listen", "127.0.0.1:\(port)", "--admin-token-file", path]
            if let admin = try? AdminDaemon(arguments), admin.daemon.isRunning { return (admin, port) }
        }
        throw LarderError(.internal, "no port is free")
    }

    private func ask(
        _ port: UInt16, _ target: String, _ headers: [String: String], method: String = "GET", body: String? = nil
    )
        throws -> HTTPPeer.Reply
    {
        let peer = try #require(HTTPPeer(port: port))
        return peer.request(method, target, body: body, headers: headers)
    }

    @Test func wantsTheTokenOverTCP() throws {
        let (admin, port) = try started()
        let right = ["Authorization": "Bearer \(Self.token)"]
        #expect(try ask(port, "/v1/status", right).status == 200)
        #expect(try ask(port, "/healthz", [:]).status == 200)
        for wrong in [
            "", "Bearer", "Bearer ", "Bearer \(Self.token)x", "Bearer \(Self.token.dropLast())", "Basic \(Self.token)",
        ] {
            let reply = try ask(port, "/v1/status", ["Authorization": wrong])
            #expect(reply.status == 401, "\(wrong)")
            #expect(JSONValue(text: reply.body)["error"]["code"].text == "unauthorized")
            #expect(reply.headers["www-authenticate"] != nil)
        }
        // The page holds nothing, and asks for the token itself.
        #expect(try ask(port, "/", [:]).status == 200)
        #expect(try ask(port, "/dashboard/dashboard.js", [:]).status == 200)
        // Whether there is such a thing is nobody's business, either.
        #expect(try ask(port, "/nothing", [:]).status == 401)
        #expect(try ask(port, "/metrics", [:]).status == 401)
        // A page that had its name point here.
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:\(port)", "localhost:x"] {
            #expect(try ask(port, "/healthz", right.merging(["Host": host]) { $1 }).status == 421, "\(host)")
        }
        for host in ["localhost:\(port)", "127.0.0.1:\(port)", "[::1]:\(port)"] {
            #expect(try ask(port, "/healthz", ["Host": host]).status == 200, "\(host)")
        }
        let page = right.merging(["Origin": "http://evil.example"]) { $1 }
        #expect(try ask(port, "/v1/status", page).status == 403)
        let own = right.merging(["Origin": "http://localhost"]) { $1 }
        #expect(try ask(port, "/v1/status", own).status == 200)
        let form = right.merging(["Content-Type": "application/x-www-form-urlencoded"]) { $1 }
        #expect(try ask(port, "/v1/verify", form, method: "POST", body: "{}").status == 415)
        // The socket wants none.
        #expect(admin.ask("GET", "/v1/status").status == 200)
    }

    @Test func refusesToListenUnsafely() throws {
        let directory = try TemporaryDirectory()
        let data = ["--socket", directory.path + "/larder.sock", "--data-dir", directory.path + "/store"]
        let file = directory.path + "/token"
        try FileSystem.write(Array(Self.token.utf8), to: file)
        func run(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderd", data + arguments + ["--check-config"])
        }
        for address in ["0.0.0.0:9465", "192.168.1.1:9465", "[::]:9465", "example.com:9465", "9465", "127.0.0.1:99999"]
        {
            let refused = try run("--admin-listen", address, "--admin-token-file", file)
            #expect(refused.code == 78 && refused.output.contains("admin_listen"), "\(address): \(refused.output)")
        }
        let without = try run("--admin-listen", "127.0.0.1:9465")
        #expect(without.code == 78 && without.output.contains("admin_token_file"))
        let right = try run("--admin-listen", "127.0.0.1:9465", "--admin-token-file", file)
        #expect(right.code == 0 && right.output.contains("admin_socket = \"\(directory.path)/admin.sock\""))

        // What the file is, is looked at when it is read.
        func start(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderd", data + arguments)
        }
        try FileSystem.setAccess(file, mode: 0o644, group: nil)
        let open = try start("--admin-listen", "127.0.0.1:0", "--admin-token-file", file)
        #expect(open.code == 1 && open.output.contains("chmod 600"), "\(open.output)")
        try FileSystem.write(Array("short".utf8), to: file + "2")
        let short = try start("--admin-listen", "127.0.0.1:0", "--admin-token-file", file + "2")
        #expect(short.code == 1 && short.output.contains("openssl rand"), "\(short.output)")
        let missing = try start("--admin-listen", "127.0.0.1:0", "--admin-token-file", file + "3")
        #expect(missing.code == 1 && missing.output.contains("admin_token_file"))
        try FileSystem.write([1], to: directory.path + "/admin.sock")
        let occupied = try start()
        #expect(occupied.code == 1 && occupied.output.contains("is no socket"), "\(occupied.output)")
    }

    private static let mayChangeUser: Bool = {
        if LarderSystem.Process.userID == 0, FileSystem.exists("/usr/bin/setpriv"), FileSystem.exists("/usr/bin/curl") {
            return true
        }
        print("ListenerTests: skipped, asking as another user takes root, setpriv and curl")
        return false
    }()

    /// As another user, over curl: refused by the mode, and where that lets it in, by its uid.
    @Test(.enabled(if: mayChangeUser)) func keepsOtherUsersOut() throws {
        func ask(_ admin: AdminDaemon, _ user: [String]) throws -> (code: Int32, output: String) {
            try FileSystem.setAccess(admin.daemon.directory.path, mode: 0o755, group: nil)
            let output = admin.daemon.directory.path + "/answer"
            try? FileSystem.remove(output)
            let curl = ["/usr/bin/curl", "-sS", "-i", "--unix-socket", admin.socket, "http://localhost/v1/status"]
            let code = try ChildProcess("/usr/bin/setpriv", user + curl, output: output).wait()
            return (code, String(decoding: try FileSystem.read(output, limit: 1 << 20), as: UTF8.self))
        }
        let stranger = ["--reuid=65534", "--regid=65534", "--clear-groups"]
        let closed = try AdminDaemon()
        #expect(try ask(closed, stranger).code == 7)
        let open = try AdminDaemon(["--admin-socket-mode", "0666"])
        let refused = try ask(open, stranger)
        #expect(refused.code == 0 && refused.output.contains("403") && refused.output.contains("admin_socket_group"))
        #expect(try ask(open, ["--reuid=0"]).output.contains("200 OK"))
        // Of the socket's group: the daemon's own here.
        let member = try ask(open, ["--reuid=65534", "--regid=0", "--clear-groups"])
        #expect(member.output.contains("200 OK"), "\(member.output)")
    }

    @Test func leavesASuccessorsSocketAlone() throws {
        let first = try AdminDaemon()
        // Another daemon will not take the socket of one that lives.
        let directory = try TemporaryDirectory()
        let second = try TestDaemon.run(
            "larderd",
            [
                "--socket", directory.path + "/larder.sock", "--data-dir", directory.path + "/store",
                "--admin-socket", first.socket,
            ])
        #expect(second.code == 1 && second.output.contains("another daemon"), "\(second.output)")
        #expect(first.json("GET", "/healthz")["status"].text == "ok")
        #expect(first.daemon.end(signal: 15) == 0)
        #expect(!FileSystem.exists(first.socket))
        let off = try TestDaemon.started(arguments: ["--admin-socket", "off"])
        #expect(!FileSystem.exists(off.directory.path + "/admin.sock"))
    }
}
