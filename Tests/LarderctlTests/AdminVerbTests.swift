import Foundation
import LarderModel
import LarderSystem
import LarderTestSupport
import Testing

/// What larderctl asks of the admin side of a live daemon.
@Suite struct AdminVerbTests {
    /// A daemon with an admin socket beside its data socket, and two sessions; nil, with a word, if it has none.
    private func fixture() throws -> Fixture? {
        guard try TestDaemon.run("larderd", ["--help"]).output.contains("--admin-socket") else {
            print("AdminVerbTests: skipped, this larderd has no admin socket")
            return nil
        }
        let fixture = try Fixture()
        let deadline = Clock.deadline(seconds: 60)
        while !FileSystem.exists(fixture.path("admin.sock")), Clock.now() < deadline { Clock.sleep(milliseconds: 2) }
        try fixture.fill("main", seed: 1)
        try fixture.fill("u1", namespace: "chat", chunks: 0..<2, seed: 9)
        return fixture
    }

    @Test func saysWhatFillsTheStore() throws {
        guard let fixture = try fixture() else { return }
        let all = try fixture.json("du")
        #expect((all["rows"] as? [Any])?.count == 4)
        #expect((all["total"] as? [String: Any])?["chunks"] as? Int == 12)
        let rows = try #require(try fixture.json("du", "--by", "namespace")["rows"] as? [[String: Any]])
        #expect(rows.map { ($0["of"] as? [String: String])?["namespace"] } == ["agents", "chat"])
        #expect(rows.map { $0["chunks"] as? Int } == [8, 4])
        #expect(try fixture.ctl("du", "--by", "component").output.contains("attention"))
        #expect(try fixture.ctl("du", "--by", "colour").code == 64)
        #expect(try fixture.ctl("du", "--by", "model,model").code == 64)
        let none = try fixture.ctl("du", "--namespace", "none")
        #expect(none.code == 2 && none.output.contains("'none'"))
    }

    @Test func showsAndChangesHowTheDaemonRuns() throws {
        guard let fixture = try fixture() else { return }
        let settings = try #require(try fixture.json("config", "log_level")["settings"] as? [[String: Any]])
        #expect(settings.count == 1 && settings[0]["value"] as? String == "debug")
        #expect((settings[0]["origin"] as? String)?.contains("--log-level") == true)
        #expect(try fixture.ctl("config", "colour").code == 2)
        #expect(try fixture.json("log-level", "warning")["level"] as? String == "warning")
        #expect(try fixture.ctl("log-level").output.contains("warning"))
        #expect(try fixture.ctl("log-level", "loud").code == 2)
        #expect(try fixture.json("drain")["draining"] as? Bool == false)
        #expect(try fixture.ctl("drain", "on").code == 0)
        let refused = try fixture.ctl("sessions")
        #expect(refused.code == 2 && refused.output.contains("drained"))
        #expect(try fixture.ctl("drain", "off").code == 0)
        #expect(try fixture.ctl("sessions").code == 0)
        #expect(try fixture.ctl("drain", "maybe").code == 64)
    }

    @Test func makesRoom() throws {
        guard let fixture = try fixture() else { return }
        let evicted = try fixture.json("evict", "agents/main", "--from", "128")
        #expect(evicted["chunks"] as? Int == 4 && evicted["keptChunks"] as? Int == 0)
        #expect(try fixture.client.chunks(session: try #require(try fixture.session("agents", "main"))).count == 4)
        #expect(try fixture.ctl("evict", "agents/none").code == 2)
        let compacted = try fixture.json("compact")
        #expect(compacted["state"] as? String == "done")
        #expect(try fixture.ctl("compact", "--free", "much").code == 64)
    }

    @Test func saysWhatHappens() throws {
        guard let fixture = try fixture() else { return }
        let opened = try fixture.ctl("events", "--recent", "100", "--kinds", "session_opened")
        #expect(opened.code == 0 && opened.output.contains("name=main"))
        #expect(opened.output.split(separator: "\n").allSatisfy { $0.contains("session_opened") })
        for line in try fixture.ctl("events", "--recent", "10", "--json").output.split(separator: "\n") {
            #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) != nil, "\(line)")
        }
        #expect(try fixture.ctl("events", "--recent", "0").code == 64)
        // Followed, line by line.
        let output = fixture.path("events")
        let follower = try ChildProcess(
            TestDaemon.executable("larderctl"),
            ["events", "--kinds", "session_forked", "--socket", fixture.daemon.socket], output: output)
        let deadline = Clock.deadline(seconds: 30)
        var forks = 0
        while !(try FileSystem.read(output, limit: 1 << 20).contains(0x0A)), Clock.now() < deadline {
            forks += 1
            _ = try fixture.ctl("fork", "agents/main", "64", "f\(forks)")
        }
        follower.signal(9)
        _ = follower.wait()
        let followed = String(decoding: try FileSystem.read(output, limit: 1 << 20), as: UTF8.self)
        #expect(followed.contains("session_forked") && followed.contains("name=f"))
    }

    @Test func watchesOnce() throws {
        guard let fixture = try fixture() else { return }
        let text = try fixture.ctl("top", "--once", "--interval", "1")
        #expect(text.code == 0 && text.output.contains("page in") && text.output.contains("agents/main"))
        #expect(!text.output.contains("\u{1B}"))
        let report = try fixture.json("top", "--interval", "1")
        #expect((report["sessions"] as? [Any])?.count == 2 && report["draining"] as? Bool == false)
        #expect(try fixture.ctl("top", "--interval", "0").code == 64)
    }
}
