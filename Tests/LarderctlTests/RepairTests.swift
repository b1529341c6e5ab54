import Foundation
import LarderClient
import LarderCodec
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// `larderctl verify --repair`: what is damaged becomes a miss and can be put again; what is whole is never touched.
@Suite struct RepairTests {
    @Test func takesOutWhatIsDamagedAndNothingElse() throws {
        let fixture = try Fixture()
        let session = try fixture.fill("main", seed: 1)
        let branch = try fixture.client.fork(session: session, offset: 256, name: "branch")
        let expected = try fixture.content(session)
        try fixture.flipChunks(3)
        let client = try fixture.daemon.connect()
        let found = try fixture.ctl("verify")
        #expect(found.code == 1 && found.output.contains("6 damaged") && found.output.contains("--repair"))
        #expect(try client.chunks(session: session).count == 8)
        let report = try fixture.json("verify", "agents/main", "--repair")
        #expect(report["removedChunks"] as? Int == 3 && (report["left"] as? [Any])?.isEmpty == true)
        #expect((report["damaged"] as? [[String: Any]])?.first?["session"] as? String == "agents/main")
        // The fork sees the same chunks: they are gone there, too.
        for id in [session, branch] {
            let left = try fixture.content(id, client)
            #expect(left.count == 5 && left.allSatisfy { $0.value == expected[$0.key] })
        }
        let whole = try fixture.ctl("verify", "--repair")
        #expect(whole.code == 0 && whole.output.contains(" 0 damaged"))
        #expect(try client.chunks(session: session).count == 5)
        // Put again: all of it is back, for this session.
        let again = try client.openSession(namespace: "agents", name: "main", modelID: fixture.modelID).session
        #expect(again == session)
        try Fixture.fillAgain(client, session, expected)
        #expect(try fixture.content(session, client) == expected)
        #expect(try client.resume(session: session).offset == 256)
    }

    @Test func takesOutSharedBytesForAllThatHaveThem() throws {
        let fixture = try Fixture()
        let one = try fixture.fill("one", chunks: 0..<2, seed: 1, keys: true)
        let two = try fixture.fill("two", chunks: 0..<2, seed: 1, keys: true)
        try fixture.flipChunks(1)
        let client = try fixture.daemon.connect()
        let damaged = try client.verify(session: two).damaged
        #expect(damaged.count == 1)
        let repaired = try client.repair(try #require(damaged.first).name)
        #expect(repaired.removed == 2 && repaired.freedBytes > 0 && repaired.reason.contains("checksum"))
        for session in [one, two] {
            #expect(try client.verify(session: session).damaged.isEmpty)
            #expect(try client.chunks(session: session).count == 3)
        }
        // The key names nothing any more: what is put under it is new.
        let again = try Fixture.connected(fixture.daemon)
        #expect(try again.fill("three", chunks: 0..<2, seed: 1, keys: true) > 0)
        #expect(try client.verify(session: try #require(try again.session("agents", "three"))).damaged.isEmpty)
    }

    @Test func leavesWhatIsWholeOrGone() throws {
        let fixture = try Fixture()
        let session = try fixture.fill("main", seed: 1)
        for offset: UInt64 in [0, 64, 1, 1 << 39, .max] {
            for component: UInt16 in [0, 1] {
                let name = ChunkName(session: session, component: component, offset: offset)
                #expect(try fixture.client.repair(name) == RepairAnswer(removed: 0, freedBytes: 0, reason: ""))
            }
        }
        #expect(throws: ClientError.self) {
            try fixture.client.repair(ChunkName(session: session, component: 9, offset: 0))
        }
        #expect(throws: ClientError.self) {
            try fixture.client.repair(ChunkName(session: session + 64, component: 0, offset: 0))
        }
        #expect(try fixture.client.chunks(session: session).count == 8)
    }

    @Test func repairsAStoreThatIsStopped() throws {
        let fixture = try Fixture()
        try fixture.fill("main", seed: 1)
        try fixture.flipChunks(2)
        let busy = try TestDaemon.run("larderctl", ["verify", "--store", fixture.daemon.store, "--repair"])
        #expect(busy.code == 2 && busy.output.contains("in use by process"))
        fixture.daemon.end(signal: 15)
        func verify(_ more: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderctl", ["verify", "--store", fixture.daemon.store] + more)
        }
        #expect(try verify().code == 1)
        let repaired = try verify("--repair")
        #expect(repaired.code == 0 && repaired.output.contains("2 chunks removed"), "\(repaired.output)")
        #expect(repaired.output.contains("REMOVED agents/main, rank 0"))
        #expect(try verify().code == 0)
        try fixture.daemon.start()
        #expect(try fixture.daemon.connect().sessions().count == 1)
    }

    /// A record of the index that was flipped: the chunk is named, taken out, and the line's counts are right again.
    @Test func repairsADamagedRecord() throws {
        let fixture = try Fixture()
        let session = try fixture.fill("main", seed: 1)
        fixture.daemon.end(signal: 15)
        let path = fixture.daemon.store + "/shard-0/data.mdb"
        var data = try FileSystem.read(path, limit: 1 << 30)
        // The key of attention's chunk at 64 in line 1, then its record: every copy of it in the file.
        let key: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 64]
        var flipped = 0
        for place in 0..<data.count - 70 where data[place + 15] == 64 && Array(data[place..<place + 16]) == key {
            // The key stands in other indexes, too: a chunk's record is what its checksum says is one.
            let sealed = data[place..<place + 66].withUnsafeBytes { CRC32C.checksum($0) }
            let stored = (0..<4).reduce(UInt32(0)) { $0 | UInt32(data[place + 66 + $1]) << (8 * $1) }
            guard sealed == stored else { continue }
            data[place + 16 + 20] ^= 1
            flipped += 1
        }
        #expect(flipped > 0)
        try FileSystem.write(data, to: path)
        try fixture.daemon.start()
        let client = try fixture.daemon.connect()
        let found = try fixture.ctl("verify")
        #expect(found.code == 1 && found.output.contains("offset 64: the checksum of its record fails"))
        let repaired = try fixture.ctl("verify", "--repair")
        #expect(repaired.code == 0, "\(repaired.output)")
        #expect(try fixture.ctl("verify").code == 0)
        let left = try client.chunks(session: session)
        #expect(left.count == 7 && !left.contains { $0.name.component == 0 && $0.name.offset == 64 })
        #expect(try client.sessions().first?.chunks == 7)
    }
}

extension Fixture {
    /// Puts what a session should have.
    static func fillAgain(_ client: Client, _ session: UInt64, _ content: [String: [UInt8]?]) throws {
        for (key, bytes) in content {
            let parts = key.split(separator: " ").map { UInt64($0)! }
            let name = ChunkName(session: session, component: UInt16(parts[0]), offset: parts[1])
            let result = try bytes!.withUnsafeBytes {
                try client.put([PageOut(name: name, tokens: parts[0] == 0 ? chunkTokens : 0, bytes: $0)])
            }[0]
            _ = try result.get()
        }
    }
}
