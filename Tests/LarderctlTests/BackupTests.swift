import Foundation
import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import Synchronization
import Testing

/// `larderctl backup` and `restore`: a backup is one moment of a store in use, or there is none.
@Suite struct BackupTests {
    @Test func restoresWhatWasBackedUp() throws {
        let fixture = try Fixture()
        let session = try fixture.fill("main", seed: 1)
        let fork = try fixture.client.fork(session: session, offset: 128, name: "fork")
        let expected = try fixture.content(session)
        let backup = fixture.path("backup")
        let report = try fixture.json("backup", backup)
        #expect(report["shards"] as? Int == 1 && report["directory"] as? String == backup)
        // What comes later is not in it.
        try fixture.fill("late", seed: 2)
        let restored = try TestDaemon(arguments: [])
        let result = try TestDaemon.run("larderctl", ["restore", backup, restored.store])
        #expect(result.code == 0 && result.output.contains("shards 1"), "\(result.output)")
        let verified = try TestDaemon.run("larderctl", ["verify", "--store", restored.store])
        #expect(verified.code == 0 && verified.output.contains(" 0 damaged"))
        try restored.start()
        let client = try restored.connect()
        #expect(client.welcome.storeID == fixture.client.welcome.storeID)
        #expect(try fixture.content(session, client) == expected)
        #expect(try client.resume(session: fork).offset == 128)
        #expect(try client.sessions().map(\.name).sorted() == ["fork", "main"])
    }

    /// Chunk i goes to session a and, when that is committed, to b: at any moment b has as many as a, or one less. The two
    /// are in different shards.
    @Test func isOfOneMomentInAllShards() throws {
        let fixture = try Fixture("--shards", "4", "--cap", "256MiB")
        let a = try fixture.fill("a", chunks: 0..<0, seed: 1)
        let name = try #require(
            try (0..<64).map { "b\($0)" }.first { try fixture.fill($0, chunks: 0..<0, seed: 1) % 64 != a % 64 })
        let isDone = Atomic(false)
        let writer = Monitor(0)
        let socket = fixture.daemon.socket
        nonisolated(unsafe) let fixtureUsed = fixture
        let thread = try WorkerThread(name: "writer") {
            var index = 0
            while !isDone.load(ordering: .relaxed), index < 2_000 {
                do {
                    try fixtureUsed.fill("a", chunks: index..<index + 1, seed: 1)
                    try fixtureUsed.fill(name, chunks: index..<index + 1, seed: 1)
                } catch { break }
                index += 1
            }
            writer.signal { $0 = index }
        }
        for round in 0..<4 {
            let backup = fixture.path("backup-\(round)")
            let result = try TestDaemon.run("larderctl", ["backup", backup, "--socket", socket])
            #expect(result.code == 0, "\(result.output)")
        }
        isDone.store(true, ordering: .relaxed)
        thread.join()
        #expect(writer.withLock { $0 } > 0)
        for round in 0..<4 {
            let restored = try TestDaemon(arguments: ["--shards", "4", "--cap", "256MiB"])
            let result = try TestDaemon.run(
                "larderctl", ["restore", fixture.path("backup-\(round)"), restored.store])
            #expect(result.code == 0, "\(result.output)")
            try restored.start()
            let client = try restored.connect()
            let raw = try ["a", name].map { name in
                try client.chunks(session: try #require(try fixture.session("agents", name, client))).count
            }
            #expect(raw[1] <= raw[0] && raw[0] <= raw[1] + 2, "round \(round): \(raw)")
            let verified = try TestDaemon.run("larderctl", ["verify", "--socket", restored.socket])
            #expect(verified.code == 0, "\(verified.output)")
        }
    }

    @Test func worksAtTheCapWhileOthersPut() throws {
        let fixture = try Fixture("--cap", "48MiB")
        // Twice the cap, so that it sweeps.
        for index in 0..<48 { try fixture.fill("s\(index)", chunks: 0..<30, seed: UInt64(index) * 1_000) }
        let isDone = Atomic(false)
        let counts = Monitor((put: 0, full: 0, other: ""))
        nonisolated(unsafe) let fixtureUsed = fixture
        let thread = try WorkerThread(name: "writer") {
            var index = 100
            while !isDone.load(ordering: .relaxed) {
                do {
                    try fixtureUsed.fill("s\(index)", chunks: 0..<30, seed: UInt64(index) * 1_000)
                    counts.withLock { $0.put += 1 }
                } catch {
                    let isFull = Self.code(error) == .full
                    counts.withLock { counts in
                        if isFull { counts.full += 1 } else { counts.other = "\(error)" }
                    }
                }
                index += 1
            }
        }
        for round in 0..<3 {
            let result = try fixture.ctl("backup", fixture.path("backup-\(round)"))
            #expect(result.code == 0, "\(result.output)")
        }
        isDone.store(true, ordering: .relaxed)
        thread.join()
        let seen = counts.withLock { $0 }
        print("worksAtTheCapWhileOthersPut: beside 3 backups \(seen.put) sessions put, \(seen.full) found it full")
        #expect(seen.put > 0 && seen.other.isEmpty, "\(seen.other)")
        // It goes on as before, within its cap.
        try fixture.fill("after", chunks: 0..<30, seed: 7)
        #expect(try fixture.client.stat()["disk_bytes"] <= 48 << 20)
        for round in 0..<3 {
            let target = fixture.path("restored-\(round)")
            #expect(try TestDaemon.run("larderctl", ["restore", fixture.path("backup-\(round)"), target]).code == 0)
            let verified = try TestDaemon.run("larderctl", ["verify", "--store", target])
            #expect(verified.code == 0 && verified.output.contains(" 0 damaged"), "\(verified.output)")
        }
    }

    /// The code of a refusal, of an item or of a whole request.
    private static func code(_ error: any Error) -> ErrorCode? {
        if let error = error as? LarderError { return error.code }
        guard let error = error as? ClientError, case .refused(let refusal) = error else { return nil }
        return refusal.code
    }

    @Test func leavesNothingBehindWhenItIsInterrupted() throws {
        let fixture = try Fixture("--cap", "256MiB")
        for index in 0..<20 { try fixture.fill("s\(index)", chunks: 0..<30, seed: UInt64(index) * 1_000) }
        var interrupted = 0
        for round in 0..<8 {
            let backup = fixture.path("backup-\(round)")
            let command = try ChildProcess(
                TestDaemon.executable("larderctl"), ["backup", backup, "--socket", fixture.daemon.socket],
                output: fixture.path("log-\(round)"))
            let deadline = Clock.deadline(seconds: 30)
            while !FileSystem.exists(backup + "/shard-0/data.mdb"), Clock.now() < deadline, command.isRunning() {}
            command.signal(9)
            _ = command.wait()
            // Whole, or gone, when the daemon has noticed.
            while Clock.now() < deadline, FileSystem.exists(backup), !FileSystem.exists(backup + "/larder-backup") {
                Clock.sleep(milliseconds: 5)
            }
            guard FileSystem.exists(backup) else {
                interrupted += 1
                continue
            }
            let result = try TestDaemon.run("larderctl", ["restore", backup, fixture.path("restored-\(round)")])
            #expect(result.code == 0, "\(result.output)")
        }
        print("leavesNothingBehindWhenItIsInterrupted: \(interrupted) of 8 were interrupted in time")
        #expect(try fixture.ctl("backup", fixture.path("after")).code == 0)
    }

    @Test func refusesDirectoriesThatAreNotFit() throws {
        let fixture = try Fixture()
        try fixture.fill("main", seed: 1)
        let full = try fixture.ctl("backup", fixture.daemon.directory.path)
        #expect(full.code == 2 && full.output.contains("not empty"))
        let inside = try fixture.ctl("backup", fixture.daemon.store + "/backup")
        #expect(inside.code == 2 && inside.output.contains("inside the store's own"))
        #expect(!FileSystem.exists(fixture.daemon.store + "/backup"))
        #expect(try fixture.ctl("backup", "/proc/backup").code == 2)
        #expect(throws: ClientError.self) { try fixture.client.backup(to: "relative") }
        #expect(throws: ClientError.self) {
            try fixture.client.backup(to: "/tmp/" + String(repeating: "x", count: 5_000))
        }
        #expect(throws: ClientError.self) { try fixture.client.backup(to: "") }
        // A relative path of larderctl is its own working directory's.
        #expect(try fixture.client.stat()["sessions"] == 1)
    }

    @Test func restoresNothingThatIsDamaged() throws {
        let fixture = try Fixture()
        try fixture.fill("main", seed: 1)
        let backup = fixture.path("backup")
        #expect(try fixture.ctl("backup", backup).code == 0)
        let data = backup + "/shard-0/data.mdb"
        let manifest = backup + "/larder-backup"
        let bytes = try FileSystem.read(data, limit: 64 << 20)
        let text = try FileSystem.read(manifest, limit: 1 << 20)
        let target = fixture.path("target")
        func restore() throws -> (code: Int32, output: String) {
            let result = try TestDaemon.run("larderctl", ["restore", backup, target])
            #expect(result.code == 2 && !FileSystem.exists(target), "\(result.output)")
            return result
        }
        var flipped = bytes
        flipped[bytes.count / 2] ^= 1
        try FileSystem.write(flipped, to: data)
        #expect(try restore().output.contains("checksum"))
        try FileSystem.write(Array(bytes.dropLast()), to: data)
        #expect(try restore().output.contains("not as long"))
        try FileSystem.write(bytes + [0], to: data)
        #expect(try restore().output.contains("not as long"))
        try FileSystem.write(bytes, to: data)
        for place in stride(from: 0, to: text.count, by: 3) {
            var other = text
            other[place] ^= 1
            try FileSystem.write(other, to: manifest)
            #expect(try restore().output.contains("damaged, or of a later version"))
        }
        try FileSystem.remove(manifest)
        #expect(try restore().output.contains("not completed"))
        try FileSystem.write(text, to: manifest)
        // Never over what is there; and whole, it is restored.
        let over = try TestDaemon.run("larderctl", ["restore", backup, fixture.daemon.store])
        #expect(over.code == 2 && over.output.contains("not empty"))
        #expect(try TestDaemon.run("larderctl", ["restore", backup, target]).code == 0)
    }
}
