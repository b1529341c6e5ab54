import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import Testing

/// Clients that mean harm, or do not know what they do: each gets a short answer or none, the daemon's memory stays
/// bounded, and the data socket does not notice.
@Suite struct HostileHTTPTests {
    @Test func refusesWhatIsNoRequest() throws {
        let admin = try AdminDaemon()
        let cases = [
            "\u{0}\u{1}\u{2}garbage\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /v1/status\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + String(repeating: "a", count: 100_000) + "\r\n\r\n",
            "GET /" + String(repeating: "a", count: 100_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + (0..<500).map { "X-\($0): 1\r\n" }.joined() + "\r\n",
            "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
                + "Transfer-Encoding: chunked\r\n\r\nhello",
            "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n",
            "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        ]
        for text in cases {
            let peer = try #require(HTTPPeer(socket: admin.socket))
            peer.send(raw: text)
            let first = peer.receiveSome()
            #expect(first.isEmpty || first.hasPrefix("HTTP/1.1 4"), "\(text.prefix(60)): \(first.prefix(80))")
        }
        #expect(admin.json("GET", "/healthz")["status"].text == "ok")
    }

    @Test func refusesBadArguments() throws {
        let admin = try AdminDaemon()
        let targets: [(method: String, target: String, body: String?, status: Int)] = [
            ("GET", "/v1/sessions/abc", nil, 404), ("GET", "/v1/sessions/-1", nil, 404),
            ("GET", "/v1/sessions/18446744073709551615", nil, 404),
            ("GET", "/v1/sessions/99999999999999999999999", nil, 404), ("GET", "/v1/sessions/1%00", nil, 404),
            ("GET", "/v1/sessions/../../etc/passwd", nil, 404), ("GET", "/../../../etc/passwd", nil, 404),
            ("GET", "/v1/%2e%2e/%2e%2e/etc/passwd", nil, 404), ("GET", "//v1/status", nil, 404),
            ("GET", "/v1/status/", nil, 404), ("GET", "/nothing", nil, 404),
            ("GET", "/v1/sessions?limit=0", nil, 400), ("GET", "/v1/sessions?limit=1001", nil, 400),
            ("GET", "/v1/sessions?limit=ten", nil, 400), ("GET", "/v1/sessions?cursor=%21%21", nil, 400),
            ("GET", "/v1/sessions?sort=colour", nil, 400), ("GET", "/v1/sessions?nmae=x", nil, 400),
            ("GET", "/v1/sessions?limit=1&limit=2", nil, 400), ("GET", "/v1/status?verbose=1", nil, 400),
            ("GET", "/v1/report?from=5&to=4", nil, 400), ("GET", "/v1/report?model=77", nil, 404),
            ("POST", "/v1/status", "{}", 405), ("DELETE", "/v1/config", nil, 405),
            ("POST", "/v1/sessions/64/fork", "{", 400), ("POST", "/v1/sessions/64/fork", "[]", 400),
            ("POST", "/v1/sessions/64/fork", #"{"offset_tokens":-1,"name":"x"}"#, 400),
            ("POST", "/v1/sessions/64/fork", #"{"offset_tokens":1e300,"name":"x"}"#, 400),
            ("POST", "/v1/sessions/64/fork", #"{"offset_tokens":1}"#, 400),
            ("POST", "/v1/sessions/64/fork", #"{"offset_tokens":1,"name":"x"}"#, 404),
            ("POST", "/v1/sessions/64/retain", #"{"seconds":4294967296}"#, 400),
            ("POST", "/v1/sessions/64/retain", "{}", 400),
            ("POST", "/v1/verify", String(repeating: "[", count: 60_000), 400),
            ("POST", "/v1/verify", String(repeating: " ", count: Limits.adminBodyBytes + 1), 413),
            ("POST", "/v1/verify", #"{"session":12345}"#, 404), ("DELETE", "/v1/sessions/64", nil, 404),
        ]
        for (method, target, body, status) in targets {
            let reply = admin.ask(method, target, body)
            #expect(
                reply.status == status, "\(method) \(target) \(body?.prefix(40) ?? ""): \(reply.status) \(reply.body)")
            #expect(JSONValue(text: reply.body)["error"]["message"].exists, "\(target): \(reply.body)")
        }
        let allow = admin.ask("POST", "/v1/log_level", "{}")
        #expect(allow.status == 405 && allow.headers["allow"] == "GET, PUT")
        // A form of some page can send this, and nothing with a type of JSON.
        let form = admin.ask("POST", "/v1/verify", "{}", headers: ["Content-Type": "text/plain"])
        #expect(form.status == 415)
    }

    /// More connections than are served, each half a request: who asks properly is answered once they are cut, the data
    /// socket at once.
    @Test func outlivesThoseThatTrickle() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        let pieces = Array(state.pieces(chunkTokens: 256).prefix(2))
        try client.store(pieces, session: session)
        let start = LarderSystem.Process.anonymousBytes(of: admin.daemon.processID) ?? 0
        var slow: [HTTPPeer] = []
        for _ in 0..<2 * Limits.adminConnections {
            // Beyond the backlog there is nobody to connect to.
            guard let peer = HTTPPeer(socket: admin.socket, timeoutSeconds: 1) else { break }
            peer.send(raw: "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            slow.append(peer)
        }
        #expect(slow.count >= Limits.adminConnections)
        for piece in pieces { #expect(try client.holds(piece, session: session)) }
        let patient = try #require(HTTPPeer(socket: admin.socket, timeoutSeconds: 120))
        let asker = Monitor<HTTPPeer.Reply?>(nil)
        nonisolated(unsafe) let shared = patient
        try WorkerThread(name: "asker") {
            let reply = shared.request("GET", "/healthz")
            asker.signal { $0 = reply }
        }.detach()
        // They trickle on until they are cut.
        var cut = 0
        let deadline = Clock.deadline(seconds: 120)
        while asker.withLock({ $0 }) == nil, Clock.now() < deadline {
            cut = slow.count { !$0.send(raw: "a") }
            Clock.sleep(milliseconds: 200)
        }
        #expect(asker.withLock { $0 }?.status == 200)
        // The answer may have come between the last look and now.
        cut = max(cut, slow.count { !$0.send(raw: "a") })
        #expect(cut >= 1)
        let grown = (LarderSystem.Process.anonymousBytes(of: admin.daemon.processID) ?? 0) - start
        #expect(grown < 64 << 20, "\(grown >> 20) MiB more")
    }

    /// A client that asks and does not read holds one answer, not more.
    @Test func boundsWhatWaitsForOneThatDoesNotRead() throws {
        let admin = try AdminDaemon()
        let start = LarderSystem.Process.anonymousBytes(of: admin.daemon.processID) ?? 0
        let peer = try #require(HTTPPeer(socket: admin.socket, timeoutSeconds: 1))
        var sent = 0
        while sent < 20_000, peer.send(raw: "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") { sent += 1 }
        let grown = (LarderSystem.Process.anonymousBytes(of: admin.daemon.processID) ?? 0) - start
        #expect(grown < 64 << 20, "\(grown >> 20) MiB more after \(sent) requests")
        #expect(admin.json("GET", "/healthz")["status"].text == "ok")
    }
}
