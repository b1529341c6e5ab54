import Foundation
import LarderModel
import LarderSystem
import LarderTestSupport
import Testing

/// `larderctl export` and `import` against a live daemon.
@Suite struct ExportTests {
    @Test func bringsSessionsToAnotherDaemon() throws {
        let from = try Fixture()
        let main = try from.fill("main", seed: 1)
        let branch = try from.client.fork(session: main, offset: 128, name: "branch")
        try from.client.configure(session: branch, ttlSeconds: 3_600)
        try from.fill("branch", chunks: 2..<3, seed: 77)
        try from.fill("u1", namespace: "chat", seed: 5)
        let file = from.path("all.lrdx")
        let report = try from.json("export", "--all", "--output", file)
        #expect(report["sessions"] as? Int == 3 && report["chunks"] as? Int == 22)
        #expect(report["leftOutChunks"] as? Int == 0)
        #expect(report["fileBytes"] as? Int == FileSystem.size(file))
        let to = try Fixture()
        let check = try to.ctl("import", "--check", file)
        #expect(check.code == 0 && check.output.contains("is whole: 3 sessions, 22 chunks"))
        #expect(try to.client.sessions().isEmpty)
        let imported = try to.json("import", file)
        #expect(imported["chunks"] as? Int == 22)
        for (namespace, name) in [("agents", "main"), ("agents", "branch"), ("chat", "u1")] {
            let source = try #require(try from.session(namespace, name))
            let target = try #require(try to.session(namespace, name))
            #expect(try from.content(source) == to.content(target))
            #expect(
                try from.client.resume(session: source).offset == to.client.resume(session: target).offset)
        }
        #expect(try to.client.sessions(namespace: "agents").first { $0.name == "branch" }?.ttlSeconds == 3_600)
    }

    @Test func neverWritesOverASession() throws {
        let fixture = try Fixture()
        let session = try fixture.fill("main", seed: 1)
        let file = fixture.path("e")
        #expect(try fixture.ctl("export", "agents/main", "-o", file).code == 0)
        let before = try fixture.content(session)
        let again = try fixture.ctl("import", file)
        #expect(again.code == 2 && again.output.contains("already") && again.output.contains("--resume"))
        // Equal: nothing changes. Truncated: what is missing comes back.
        #expect(try fixture.ctl("import", file, "--resume").code == 0)
        try fixture.client.truncate(session: session, offset: 100)
        #expect(try fixture.ctl("import", file, "--resume").code == 0)
        #expect(try fixture.content(session) == before)
        // Different: refused by name, and left as it is.
        try fixture.client.truncate(session: session, offset: 0)
        try fixture.fill("main", seed: 2)
        let other = try fixture.content(session)
        let conflict = try fixture.ctl("import", file, "--resume")
        #expect(conflict.code == 2 && conflict.output.contains("other bytes") && conflict.output.contains("offset 0"))
        #expect(try fixture.content(session) == other)
        // Beside it, under another name.
        #expect(try fixture.ctl("import", file, "--name", "copy").code == 0)
        #expect(try fixture.ctl("import", file, "--namespace", "elsewhere").code == 0)
        let copy = try #require(try fixture.session("agents", "copy"))
        #expect(try fixture.content(copy) == before)
        #expect(try fixture.ctl("import", file, "--name", "a\nb").code == 2)
        #expect(try fixture.ctl("export", "agents/main", "-o", file).output.contains("there already"))
    }

    @Test func completesWhatWasCutOff() throws {
        let fixture = try Fixture()
        try fixture.fill("a", seed: 1)
        try fixture.fill("b", seed: 2)
        let file = fixture.path("whole")
        #expect(try fixture.ctl("export", "agents/a", "agents/b", "-o", file).code == 0)
        let whole = try FileSystem.read(file, limit: 16 << 20)
        var generator = SeededGenerator(seed: testSeed("completesWhatWasCutOff"))
        let cuts = [whole.count - 1] + (0..<6).map { _ in Int.random(in: 8..<whole.count, using: &generator) }
        for (index, cut) in cuts.enumerated() {
            let part = fixture.path("part-\(index)")
            try FileSystem.write(Array(whole[..<cut]), to: part)
            let early = try fixture.ctl("import", part, "--namespace", "n\(index)")
            #expect(early.code == 1 && early.output.contains("cut off"), "\(cut): \(early.output)")
            let resumed = try fixture.ctl("export", "agents/a", "agents/b", "-o", part, "--resume")
            #expect(resumed.code == 0, "\(cut): \(resumed.output)")
            #expect(try FileSystem.read(part, limit: 16 << 20) == whole, "cut at \(cut)")
            let late = try fixture.ctl("import", part, "--namespace", "n\(index)", "--resume")
            #expect(late.code == 0, "\(cut): \(late.output)")
            for name in ["a", "b"] {
                let source = try #require(try fixture.session("agents", name))
                let target = try #require(try fixture.session("n\(index)", name))
                #expect(try fixture.content(source) == fixture.content(target))
            }
        }
        let done = try fixture.ctl("export", "agents/a", "agents/b", "-o", file, "--resume")
        #expect(done.code == 2 && done.output.contains("complete"))
        // Not the sessions of the file, and a session that is another one by now.
        try FileSystem.write(Array(whole[..<(whole.count / 4)]), to: file)
        let wrong = try fixture.ctl("export", "agents/b", "-o", file, "--resume")
        #expect(wrong.code == 2 && wrong.output.contains("agents/a"))
        let session = try #require(try fixture.session("agents", "a"))
        try fixture.client.truncate(session: session, offset: 0)
        try fixture.fill("a", chunks: 0..<1, seed: 9)
        Clock.sleep(milliseconds: 1_100)
        try fixture.client.truncate(session: session, offset: 0)
        try fixture.fill("a", chunks: 0..<1, seed: 9)
        let changed = try fixture.ctl("export", "agents/a", "agents/b", "-o", file, "--resume")
        #expect(changed.code == 2 && changed.output.contains("truncated and put anew"), "\(changed.output)")
    }

    @Test func putsNothingThatIsDamaged() throws {
        let fixture = try Fixture()
        let session = try fixture.fill("main", seed: 1)
        let file = fixture.path("e")
        #expect(try fixture.ctl("export", "agents/main", "-o", file).code == 0)
        let whole = try FileSystem.read(file, limit: 16 << 20)
        let expected = try fixture.content(session)
        var generator = SeededGenerator(seed: testSeed("putsNothingThatIsDamaged"))
        for round in 0..<12 {
            var bytes = whole
            let place = Int.random(in: 0..<bytes.count, using: &generator)
            bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            let damaged = fixture.path("damaged")
            try FileSystem.write(bytes, to: damaged)
            let result = try fixture.ctl("import", damaged, "--namespace", "r\(round)")
            #expect(result.code == 1 || result.code == 2, "byte \(place): \(result.output)")
            #expect(try fixture.ctl("import", "--check", damaged).code == result.code)
            // What came before it is there, and is right.
            guard let target = try fixture.session("r\(round)", "main") else { continue }
            for (key, value) in try fixture.content(target) { #expect(value == expected[key], "byte \(place), \(key)") }
        }
        #expect(try fixture.ctl("import", fixture.path("none")).code == 2)
        #expect(try fixture.ctl("import", fixture.daemon.store + "/shard-0/data.mdb").output.contains("no export"))
    }

    @Test func leavesOutWhatIsDamagedInTheStore() throws {
        let fixture = try Fixture()
        try fixture.fill("main", seed: 1)
        try fixture.flipChunks(1)
        let file = fixture.path("e")
        let result = try fixture.ctl("export", "agents/main", "-o", file)
        #expect(result.code == 1 && result.output.contains("left out: session 64"))
        #expect(result.output.contains("7 chunks"))
        let imported = try fixture.ctl("import", file, "--namespace", "copy")
        #expect(imported.code == 0 && imported.output.contains("1 chunks were left out"))
    }

    @Test func namesWhatIsWrongWithArguments() throws {
        let fixture = try Fixture()
        #expect(try fixture.ctl("export", "-o", fixture.path("e")).code == 64)
        #expect(try fixture.ctl("export", "a/b", "--all", "-o", fixture.path("e")).code == 64)
        #expect(try fixture.ctl("export", "--all", "-o", "-", "--resume").code == 64)
        let none = try fixture.ctl("export", "--namespace", "none", "-o", fixture.path("e"))
        #expect(none.code == 2 && none.output.contains("'none'") && !FileSystem.exists(fixture.path("e")))
        #expect(try fixture.ctl("export", "--all", "-o", "/nowhere/e").code == 2)
    }
}
