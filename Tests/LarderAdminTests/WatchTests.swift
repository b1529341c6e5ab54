import Foundation
import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import Testing

/// Events, the history over a restart, what the store holds and how hot it is.
@Suite struct WatchTests {
    @Test func streamsEvents() throws {
        let admin = try AdminDaemon()
        let stream = try #require(HTTPPeer(socket: admin.socket))
        stream.send(raw: "GET /v1/events?kinds=session_opened,session_dropped HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(stream.receiveSome().contains("text/event-stream"))
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        try client.drop(session: session)
        var text = ""
        let deadline = Clock.deadline(seconds: 30)
        while !text.contains("event: session_dropped"), Clock.now() < deadline { text += stream.receiveSome() }
        #expect(text.contains("event: session_opened") && text.contains("\"name\":\"gpl\""))
        #expect(!text.contains("event: connected"))

        // A reader that comes back goes on where it was.
        let last = admin.json("GET", "/v1/events/recent")["last_id"].int ?? 0
        let late = try #require(HTTPPeer(socket: admin.socket))
        late.send(raw: "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\n\r\n")
        text = ""
        while !text.contains("id: \(last)\n"), Clock.now() < deadline { text += late.receiveSome() }
        #expect(text.contains("id: 1\n") && text.contains("event: connected"))
        _ = admin.json("GET", "/v1/events?kinds=nonsense", status: 400)
    }

    @Test func tellsASlowReaderWhatItLost() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let model = try client.declare(state.model).modelID
        // More than the ring holds.
        for index in 0..<2_100 {
            let session = try client.openSession(namespace: "test", name: "s\(index)", modelID: model).session
            try client.drop(session: session)
        }
        let page = admin.json("GET", "/v1/events/recent?after=1&limit=1000")
        #expect((page["lost_events"].int ?? 0) > 0 && page["events"].list.count == 1_000)
        #expect(page["events"][0]["id"].int == 2 + (page["lost_events"].int ?? 0))
    }

    @Test func boundsStreams() throws {
        let admin = try AdminDaemon()
        var streams: [HTTPPeer] = []
        for _ in 0..<Limits.eventStreams {
            let stream = try #require(HTTPPeer(socket: admin.socket))
            stream.send(raw: "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(stream.receiveSome().contains("200 OK"))
            // The stream has begun.
            _ = stream.receiveSome()
            streams.append(stream)
        }
        #expect(admin.json("GET", "/v1/events", status: 503)["error"]["code"].text == "busy")
        #expect(admin.json("GET", "/healthz")["status"].text == "ok")
    }

    @Test func keepsItsHistoryOverARestart() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        try client.store(state.pieces(chunkTokens: 256), session: session)
        // The daemon writes its last sample when it ends.
        Clock.sleep(milliseconds: 1_100)
        #expect(admin.daemon.end(signal: 15) == 0)
        try admin.restart()
        let history = admin.json("GET", "/v1/history")
        let column = history["figures"].list.firstIndex { $0.text == "page_out_bytes" } ?? 0
        let sums = history["samples"].list.map { $0["values"][column].int ?? 0 }.reduce(0, +)
        #expect(sums > 0, "\(history)")
        #expect(history["samples"].list.allSatisfy { $0["values"].list.count == history["figures"].list.count })
        // What puts took is there: a median, and a p99 that is no less.
        func highest(_ figure: String) -> Int {
            let column = history["figures"].list.firstIndex { $0.text == figure } ?? 0
            return history["samples"].list.map { $0["values"][column].int ?? 0 }.max() ?? 0
        }
        let (median, tail) = (highest("page_out_p50_nanoseconds"), highest("page_out_p99_nanoseconds"))
        #expect(median > 0 && tail >= median, "\(history)")
        #expect(highest("cap_bytes") > 0 && highest("page_in_p99_nanoseconds") == 0)
        #expect(!admin.daemon.log.contains("parts of the history"))
    }

    @Test func ignoresADamagedHistory() throws {
        let daemon = try TestDaemon()
        try FileSystem.makeDirectory(daemon.store)
        var generator = SeededGenerator(seed: testSeed("ignoresADamagedHistory"))
        try FileSystem.write(generator.bytes(Limits.historyBytes), to: daemon.store + "/history")
        try daemon.start()
        let peer = try #require(AdminDaemon.connected(daemon))
        let reply = peer.request("GET", "/v1/history")
        #expect(reply.status == 200 && JSONValue(text: reply.body)["samples"].list.isEmpty)
        // Said once, not for each sample.
        #expect(daemon.log.components(separatedBy: "parts of the history are damaged").count == 2, "\(daemon.log)")
    }

    @Test func countsWhatTheStoreHolds() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        let pieces = state.pieces(chunkTokens: 256)
        try client.store(pieces, session: session)
        // Forks see the same chunks, and add nothing.
        _ = try client.fork(session: session, offset: 512, name: "branch")
        let rows = admin.json("GET", "/v1/usage")["rows"].list
        #expect(rows.allSatisfy { $0["namespace"].text == "test" && $0["model_name"].text == state.model.name })
        #expect(rows.map { $0["chunks"].int ?? 0 }.reduce(0, +) == pieces.count)
        #expect(rows.map { $0["raw_bytes"].int ?? 0 }.reduce(0, +) == pieces.reduce(0) { $0 + $1.bytes.count })
        let stored = admin.json("GET", "/v1/namespaces")["namespaces"][0]["stored_bytes"].int
        #expect(rows.map { $0["stored_bytes"].int ?? 0 }.reduce(0, +) == stored)
        let heat = admin.json("GET", "/v1/heat")
        #expect(heat["cells"].list.map { $0["chunks"].int ?? 0 }.reduce(0, +) == pieces.count)
        #expect(heat["cells"].list.contains { ($0["heat"].int ?? -1) >= 0 && $0["age"].int == 0 })
    }
}
