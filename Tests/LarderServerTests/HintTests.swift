import Foundation
import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import Testing

/// Hints over the wire and by larderctl.
@Suite struct HintTests {
    @Test func aPinDiesWithItsConnection() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        let pieces = state.pieces(chunkTokens: 256)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        var holder: Client? = try daemon.connect(name: "holder")
        let results = try holder?.hint([
            Hint(.pin, .session(session), seconds: 600), Hint(.retain, .session(session, to: 512), seconds: 40),
            Hint(.prefetch, .session(session)), Hint(.demote, .session(12_345)),
        ])
        #expect(
            results?.prefix(2) == [
                HintResult(.accepted, to: 1_599, seconds: 600), HintResult(.accepted, to: 512, seconds: 40),
            ])
        #expect(results?[3].outcome == .missing && results?[3].bound == .stored)
        let stat = try client.stat()
        #expect(stat["pinned_blobs"] == UInt64(pieces.count) && stat["retentions"] == 1)
        #expect(stat["pinned_bytes"] > 0 && stat["retained_bytes"] > 0)
        holder = nil
        let deadline = Clock.deadline(seconds: 30)
        while try client.stat()["pinned_blobs"] > 0, Clock.now() < deadline { Clock.sleep(milliseconds: 2) }
        // A retention does not.
        #expect(try client.stat()["pinned_blobs"] == 0 && client.stat()["retentions"] == 1)
        let many = [Hint](repeating: Hint(.demote, .session(session)), count: Limits.batchItems + 1)
        #expect(throws: ClientError.self) { try client.hint(many) }
        #expect(try client.hint([]).isEmpty)
    }

    @Test func larderctlGivesHints() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        for result in try client.put(state.pieces(chunkTokens: 256), session: session) { _ = try result.get() }
        func run(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderctl", arguments + ["--socket", daemon.socket])
        }
        let retained = try run("retain", "test/gpl", "--for", "40s", "--tokens", "..<512", "--priority", "7")
        #expect(retained.code == 0 && retained.output.contains("retain test/gpl: accepted, tokens 0..<512 for 40 s"))
        let long = try run("retain", "\(session)", "--for", "7d")
        #expect(long.code == 0 && long.output.contains("clipped, tokens 0..<1599 for 1 d (limit: a retention lasts"))
        #expect(try run("status").output.contains("1 retentions of"))
        let pinned = try run("pin", "test/gpl", "--for", "1s")
        #expect(pinned.code == 0 && pinned.output.contains("interrupt to let go"))
        #expect(try run("prefetch", "test/gpl").output.contains("prefetch test/gpl: "))
        let json = try run("demote", "test/gpl", "--tokens", "512..<", "--json")
        let report = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        #expect(report?["outcome"] as? String == "accepted" && report?["from"] as? Int == 512)
        #expect(
            try run("retain", "test/gpl", "--for", "1s", "--priority", "-5").output.contains(
                "retain test/gpl: accepted"))
        let beyond = try run("demote", "test/gpl", "--tokens", "9999..<")
        #expect(beyond.code == 2 && beyond.output.contains("nothing stored at 9999"))
        #expect(try run("demote", "test/none").code == 2)
        for wrong in ["5..<5", "9..<3", "..<", "a..<b", "7"] {
            #expect(try run("demote", "test/gpl", "--tokens", wrong).code == 64)
        }
        #expect(try run("pin", "test/gpl", "--for", "0s").code == 64)
    }
}
