import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import Testing

/// Every verb of the admin side against a live daemon.
@Suite struct VerbTests {
    @Test func changesSessions() throws {
        let admin = try AdminDaemon()
        let client = try admin.daemon.connect()
        let model = try client.declare(PlainState.model).modelID
        let session = try client.openSession(namespace: "test", name: "gpl", modelID: model).session
        try client.store(PlainState.pieces(seed: testSeed("changesSessions")), session: session)
        let end = PlainState.tokens
        let path = "/v1/sessions/\(session)"

        let fork =
            admin.json("POST", path + "/fork", #"{"offset_tokens":512,"name":"branch"}"#, status: 201)["session"].int
            ?? 0
        #expect(try client.resume(session: UInt64(fork)).offset == 512)
        let again = admin.json("POST", path + "/fork", #"{"offset_tokens":512,"name":"branch"}"#, status: 409)
        #expect(again["error"]["code"].text == "exists")

        let tree = admin.json("GET", "/v1/sessions/\(fork)/tree")
        #expect(tree["whole"].bool == true && tree["lines"].list.count == 2)
        #expect(tree["lines"][0]["session"].int == Int(session) && tree["lines"][0]["name"].text == "gpl")
        #expect(tree["lines"][1]["session"].int == fork && tree["lines"][1]["forked_at_tokens"].int == 512)
        #expect(tree["lines"][1]["parent"].int == tree["lines"][0]["line"].int)

        for (verb, body) in [("retain", #"{"seconds":40,"priority":5}"#), ("pin", #"{"seconds":60}"#)] {
            let result = admin.json("POST", path + "/\(verb)", body)
            #expect(result["outcome"].text == "accepted", "\(verb)")
        }
        #expect((admin.json("GET", "/v1/status")["counters"]["pinned_bytes"].int ?? 0) > 0)
        #expect(admin.json("GET", "/v1/status")["counters"]["retentions"].int == 1)
        // What is pinned stays.
        let pinned = admin.json("POST", path + "/evict", #"{"from_tokens":512}"#)
        #expect(pinned["chunks"].int == 0 && (pinned["kept_chunks"].int ?? 0) > 0)
        _ = admin.json("POST", path + "/pin", #"{"seconds":0}"#)
        // The resume above leases the chunks below 512 for a while, not those beyond.
        let evicted = admin.json("POST", path + "/evict", #"{"from_tokens":512}"#)
        #expect((evicted["chunks"].int ?? 0) > 0 && (evicted["freed_bytes"].int ?? 0) > 0, "\(evicted)")
        #expect(try client.resume(session: session).offset == 512)
        let why = admin.json("GET", path + "/explain")
        #expect(why["end_tokens"].int == end && why["offset_tokens"].int == 512)
        #expect(
            why["tracks"].list.contains { $0["cause"].text == "evicted" && $0["eviction_rule"].text == "requested" })
        #expect(admin.json("GET", "/v1/status")["counters"]["tokens_missed_evicted_total"].int == end - 512)

        #expect(admin.json("POST", path + "/prefetch", "{}")["outcome"].text == "accepted")
        #expect(admin.json("POST", path + "/demote", "{}")["outcome"].text != "missing")
        _ = admin.json("PUT", path + "/ttl", #"{"ttl_seconds":3600}"#)
        #expect(admin.json("GET", path)["ttl_seconds"].int == 3_600)
        _ = admin.json("POST", path + "/truncate", #"{"offset_tokens":256}"#)
        #expect(try client.resume(session: session).offset == 256)
        #expect(try client.resume(session: UInt64(fork)).offset == 512)
        #expect(admin.json("GET", path + "/report")["rows"].exists)
        _ = admin.json("DELETE", path)
        #expect(admin.json("GET", path, status: 404)["error"]["code"].text == "unknown_session")
        #expect(try client.resume(session: UInt64(fork)).offset == 512)
    }

    @Test func changesPoliciesRatesAndTheCap() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        try client.store(state.pieces(chunkTokens: 256), session: session)
        let id = admin.json("GET", "/v1/namespaces")["namespaces"][0]["id"].int ?? 0
        let set = admin.json("POST", "/v1/namespaces/\(id)/policy", #"{"sharing":"off","max_bytes":1000000000}"#)
        #expect(set["policy"]["sharing"].text == "off" && set["policy"]["max_bytes"].int == 1_000_000_000)
        let wrong = admin.json("POST", "/v1/namespaces/\(id)/policy", #"{"sharing":"maybe"}"#, status: 400)
        #expect(wrong["error"]["code"].text == "invalid_argument")
        let model = admin.json("GET", "/v1/models")["models"][0]["id"].int ?? 0
        _ = admin.json("PUT", "/v1/models/\(model)/prefill_rate", #"{"tokens_per_second":700}"#)
        #expect(try client.resume(session: session).prefillRate == 700)
        let cap = admin.json("PUT", "/v1/cap", #"{"cap_bytes":536870912}"#)
        #expect(cap["cap_bytes"].int == 536_870_912)
        let low = admin.json("PUT", "/v1/cap", #"{"cap_bytes":1000}"#, status: 400)
        #expect(low["error"]["code"].text == "invalid_argument")
        #expect(admin.json("GET", "/v1/report")["rows"][0]["namespace"].text == "test")
    }

    @Test func verifiesCompactsAndBacksUp() throws {
        let admin = try AdminDaemon(["--shards", "2"])
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        let pieces = state.pieces(chunkTokens: 256)
        try client.store(pieces, session: session)
        let verified = admin.finished(admin.json("POST", "/v1/verify", "{}", status: 202))
        #expect(verified["state"].text == "done" && verified["done"].int == 1 && verified["total"].int == 1)
        #expect(verified["result"]["checked_chunks"].int == pieces.count)
        #expect(verified["result"]["damaged_chunks"].int == 0)

        let target = admin.daemon.directory.path + "/copy"
        let copied = admin.finished(admin.json("POST", "/v1/backup", #"{"directory":"\#(target)"}"#, status: 202))
        #expect(copied["state"].text == "done" && (copied["result"]["bytes"].int ?? 0) > 0, "\(copied)")
        for wrong in ["copy", admin.daemon.store + "/inside", admin.daemon.store] {
            let refused = admin.json("POST", "/v1/backup", #"{"directory":"\#(wrong)"}"#, status: 400)
            #expect(refused["error"]["code"].text == "invalid_argument", "\(wrong)")
        }
        let onto = admin.finished(admin.json("POST", "/v1/backup", #"{"directory":"\#(target)"}"#, status: 202))
        #expect(onto["state"].text == "failed" && "\(onto)".contains("not empty"), "\(onto)")
        // The copy serves what the store did.
        let restored = try TestDaemon.started(arguments: [
            "--shards", "2", "--data-dir", target, "--admin-socket", "off",
        ])
        let other = try restored.connect()
        let same = try other.open("gpl", state)
        for piece in pieces { #expect(try other.holds(piece, session: same)) }

        // It may free all but what is hot; that it frees something is what can be said of any machine.
        let compacted = admin.finished(admin.json("POST", "/v1/compact", #"{"free_bytes":1000000000}"#, status: 202))
        #expect(compacted["state"].text == "done", "\(compacted)")
        #expect(admin.json("GET", "/v1/jobs")["jobs"].list.count == 4)
        _ = admin.json("GET", "/v1/jobs/99", status: 404)
        #expect(admin.json("DELETE", "/v1/jobs/1")["state"].text == "done")
    }

    @Test func saysTheConfigurationAndDrains() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        let settings = admin.json("GET", "/v1/config")["settings"].list
        let level = settings.first { $0["key"].text == "log_level" }
        #expect(level?["value"].text == "debug" && level?["origin"].text == "flag --log-level")
        #expect(settings.first { $0["key"].text == "shards" }?["origin"].text == "default")

        #expect(admin.json("GET", "/v1/log_level")["level"].text == "debug")
        #expect(admin.json("PUT", "/v1/log_level", #"{"level":"error"}"#)["level"].text == "error")
        _ = admin.json("PUT", "/v1/log_level", #"{"level":"loud"}"#, status: 400)
        let before = admin.daemon.log.utf8.count
        _ = try? client.drop(session: 12_345)
        #expect(admin.daemon.log.utf8.count == before)

        #expect(admin.json("PUT", "/v1/drain", #"{"draining":true}"#)["draining"].bool == true)
        #expect(admin.json("GET", "/healthz")["status"].text == "draining")
        let deadline = Clock.deadline(seconds: 30)
        while admin.json("GET", "/v1/drain")["connections"].int != 0, Clock.now() < deadline {
            Clock.sleep(milliseconds: 10)
        }
        #expect(admin.json("GET", "/v1/drain")["connections"].int == 0)
        #expect(throws: ClientError.self) { try client.resume(session: session) }
        #expect(throws: ClientError.self) { try Client(socketPath: admin.daemon.socket, name: "late") }
        #expect(admin.json("PUT", "/v1/drain", #"{"draining":false}"#)["draining"].bool == false)
        #expect(try admin.daemon.connect().resume(session: session).offset == 0)
    }
}
