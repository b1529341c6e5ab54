import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import Testing

/// Status, models, namespaces, sessions, metrics over the admin socket of a live daemon.
@Suite struct ListingTests {
    @Test func saysWhatThereIs() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect(name: "worker-7")
        let session = try client.open("gpl", state)
        let pieces = state.pieces(chunkTokens: 256)
        try client.store(pieces, session: session)

        #expect(admin.json("GET", "/healthz")["status"].text == "ok")
        let status = admin.json("GET", "/v1/status")
        #expect(status["facts"]["pid"].text == "\(admin.daemon.processID)")
        #expect(
            status["counters"]["sessions"].int == 1 && status["counters"]["page_out_chunks_total"].int == pieces.count)
        #expect(
            status["peers"].list.contains {
                $0["client_name"].text == "worker-7" && $0["uid"].int == Int(Process.userID)
            })
        #expect(admin.json("GET", "/v1/models")["models"][0]["name"].text == state.model.name)
        let namespace = admin.json("GET", "/v1/namespaces")["namespaces"][0]
        #expect(namespace["name"].text == "test" && namespace["sessions"].int == 1)
        #expect((namespace["stored_bytes"].int ?? 0) > 0)
        let listed = admin.json("GET", "/v1/sessions?namespace=test")
        #expect(listed["total"].int == 1 && listed["sessions"][0]["name"].text == "gpl")
        #expect(listed["sessions"][0]["chunks"].int == pieces.count)
        #expect(listed["sessions"][0]["used_seconds"].int ?? 0 >= listed["sessions"][0]["created_seconds"].int ?? .max)

        let page = admin.json("GET", "/v1/sessions/\(session)/chunks?limit=2")
        #expect(page["chunks"].list.count == 2)
        var found = page["chunks"].list.count
        var cursor = page["next_cursor"].text
        while let next = cursor {
            let page = admin.json("GET", "/v1/sessions/\(session)/chunks?limit=2&cursor=\(next)")
            found += page["chunks"].list.count
            cursor = page["next_cursor"].text
        }
        #expect(found == pieces.count)
    }

    @Test func exposesMetrics() throws {
        let admin = try AdminDaemon()
        let state = try SampleState.sample()
        let client = try admin.daemon.connect()
        let session = try client.open("gpl", state)
        let pieces = Array(state.pieces(chunkTokens: 256))
        try client.store(pieces, session: session)
        _ = try client.resume(session: session)
        for piece in pieces { #expect(try client.holds(piece, session: session)) }
        let reply = admin.ask("GET", "/metrics")
        #expect(reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
        let lines = Set(reply.body.split(separator: "\n").map { String($0) })
        #expect(lines.contains("larder_request_duration_seconds_count{operation=\"get\"} \(pieces.count)"))
        #expect(lines.contains("larder_request_duration_seconds_count{operation=\"put\"} \(pieces.count)"))
        #expect(lines.contains("larder_resume_depth_tokens_count 1"))
        #expect(lines.contains("larder_resume_depth_tokens_bucket{le=\"1024\"} 0"))
        #expect(lines.contains("larder_resume_depth_tokens_bucket{le=\"2048\"} 1"))
        #expect(lines.contains("larder_page_in_chunks_total \(pieces.count)"))
        #expect(lines.contains("larder_namespace_sessions{namespace=\"test\"} 1"))
        #expect(lines.contains("larder_missed_tokens_total{reason=\"evicted\"} 0"))
        let restored = lines.first { $0.hasPrefix("larder_not_recomputed_tokens_total ") }
        #expect(restored.flatMap { Int($0.split(separator: " ")[1]) } ?? 0 > 0)
        let cascade = lines.first { $0.hasPrefix("larder_encoded_raw_bytes_total{encoding=\"cascade\"}") }
        #expect(cascade.flatMap { Int($0.split(separator: " ")[1]) } ?? 0 > 0)
    }

    /// 10,000 sessions, in pages, in every order: none is missing, none comes twice, and the daemon is not held up by it.
    @Test func listsManySessionsInPages() throws {
        let count = 10_000
        let admin = try AdminDaemon(["--cap", "256MiB"])
        let state = try SampleState.sample()
        // Connections one beside another, so that their sessions are committed together.
        let workers = 32
        let model = try admin.daemon.connect().declare(state.model).modelID
        let failed = Monitor(0)
        let done = Monitor(0)
        for worker in 0..<workers {
            let client = try admin.daemon.connect()
            nonisolated(unsafe) let shared = client
            try WorkerThread(name: "opener") {
                for index in stride(from: worker, to: count, by: workers) {
                    let opened = try? shared.openSession(
                        namespace: "n\(index % 3)", name: "s-\(index * 7_919 % count)", modelID: model)
                    if opened == nil { failed.withLock { $0 += 1 } }
                }
                done.signal { $0 += 1 }
            }.detach()
        }
        _ = done.wait { $0 == workers ? true : nil }
        #expect(failed.withLock { $0 } == 0)

        for (order, direction) in [("id", "asc"), ("name", "desc"), ("used", "asc"), ("bytes", "desc")] {
            var names: [String] = []
            var ids: Set<Int> = []
            var cursor: String?
            repeat {
                let suffix = cursor.map { "&cursor=\($0)" } ?? ""
                let page = admin.json("GET", "/v1/sessions?limit=1000&sort=\(order)&order=\(direction)\(suffix)")
                #expect(page["total"].int == count)
                for session in page["sessions"].list {
                    ids.insert(session["id"].int ?? 0)
                    names.append(session["name"].text ?? "")
                }
                cursor = page["next_cursor"].text
            } while cursor != nil && names.count <= count
            #expect(names.count == count && ids.count == count, "\(order)")
            if order == "name" {
                #expect(names == names.sorted { Array($1.utf8).lexicographicallyPrecedes(Array($0.utf8)) })
            }
        }
        let third = admin.json("GET", "/v1/sessions?namespace=n1&limit=1")
        #expect(third["total"].int == count / 3)
        #expect(admin.json("GET", "/v1/sessions?name=-999&limit=1000")["total"].int == 11)
    }
}
