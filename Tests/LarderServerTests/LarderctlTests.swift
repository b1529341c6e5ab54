import Foundation
import LarderClient
import LarderSampleState
import LarderSystem
import LarderTestSupport
import Testing

@Suite struct LarderctlTests {
    private func json(_ output: String) throws -> Any { try JSONSerialization.jsonObject(with: Data(output.utf8)) }

    @Test func answersAnAdminsQuestions() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = state.pieces(chunkTokens: 256)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        func run(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderctl", arguments + ["--socket", daemon.socket])
        }
        let status = try json(try run("status", "--json").output) as? [String: Any]
        let counters = status?["counters"] as? [String: UInt64]
        #expect(counters?["sessions"] == 1)
        #expect(counters?["blobs"] == UInt64(pieces.count))
        #expect(try run("status").output.contains("1 sessions, \(pieces.count) chunks"))
        #expect(try run("models").output.contains("sliding 512"))
        #expect(try run("sessions").output.contains("test/gpl"))
        let show = try run("show", "test/gpl", "--chunks")
        #expect(show.output.contains("resume point 1599 tokens"))
        #expect(show.output.contains("cascade"))
        let shown = try json(try run("show", "\(session)", "--json").output) as? [String: Any]
        #expect(shown?["resumePoint"] as? Int == 1_599)
        #expect(try run("verify").output.contains("\(pieces.count) chunks read"))
        try checkForks { try TestDaemon.run("larderctl", $0 + ["--socket", daemon.socket]) }
        #expect(try run("drop", "test/gpl").code == 0)
        let gone = try run("show", "test/gpl")
        #expect(gone.code == 2 && gone.output.contains("there is no session"))
        #expect(try run("unknown").code == 64)
        daemon.end(signal: 15)
        #expect(try run("status").code == 3)
    }

    /// `fork` and `truncate` beside the session test/gpl.
    private func checkForks(_ run: ([String]) throws -> (code: Int32, output: String)) throws {
        let forked = try run(["fork", "test/gpl", "1599", "branch"])
        #expect(forked.code == 0 && forked.output.contains("test/branch") && forked.output.contains("1599 tokens"))
        let again = try run(["fork", "test/gpl", "0", "branch"])
        #expect(again.code == 2 && again.output.contains("choose another name"))
        #expect(try run(["fork", "test/gpl", "1600", "beyond"]).code == 2)
        #expect(try run(["fork", "test/none", "0", "orphan"]).code == 2)
        #expect(try run(["fork", "test/gpl", "-1", "wrong"]).code == 64)
        let report = try json(try run(["fork", "test/branch", "1536", "twig", "--json"]).output) as? [String: Any]
        #expect(report?["name"] as? String == "twig" && report?["offset"] as? Int == 1_536)
        let id = try #require(report?["session"] as? UInt64)
        let cut = try run(["truncate", "\(id)", "256"])
        #expect(cut.code == 0 && cut.output.contains("truncated test/twig at 256: resume point 0 tokens"))
        let cutReport = try json(try run(["truncate", "test/branch", "0", "--json"]).output) as? [String: Any]
        #expect(cutReport?["resumePoint"] as? Int == 0)
        #expect(try run(["truncate", "test/none", "0"]).code == 2)
        #expect(try run(["show", "test/gpl"]).output.contains("resume point 1599 tokens"))
    }

    @Test func verifiesOfflineAndFindsDamage() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = Array(state.pieces(chunkTokens: 256).prefix(4))
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        let busy = try TestDaemon.run("larderctl", ["verify", "--store", daemon.store])
        #expect(busy.code == 2 && busy.output.contains("in use by process"))
        daemon.end(signal: 15)
        let whole = try TestDaemon.run("larderctl", ["verify", "--store", daemon.store])
        #expect(whole.code == 0 && whole.output.contains("4 chunks read"))
        // A flip in the middle of a chunk's bytes: found by its header, "LCK1".
        let path = daemon.store + "/shard-0/data.mdb"
        var data = try FileSystem.read(path, limit: 1 << 30)
        let magic = Array("LCK1".utf8)
        let chunk = stride(from: 16, to: data.count - 4, by: 8).first { Array(data[$0..<$0 + 4]) == magic }!
        data[chunk + 30_000] ^= 16
        try FileSystem.write(data, to: path)
        let damaged = try TestDaemon.run("larderctl", ["verify", "--store", daemon.store, "--json"])
        #expect(damaged.code == 1)
        let report = try json(damaged.output) as? [String: Any]
        #expect((report?["damaged"] as? [Any])?.count == 1)
        try daemon.start()
        let again = try daemon.connect()
        let codes = pieces.map { piece in (try? again.get(piece, session: session)) == piece.bytes }
        #expect(codes.filter { $0 }.count == 3)
        #expect(try again.stat()["damaged_chunks"] == 1)
        #expect(try TestDaemon.run("larderctl", ["verify", "--store", "/nowhere"]).code == 2)
    }
}
