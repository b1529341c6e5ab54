import Foundation
import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// What `report` and `larderctl report` say of a session of real state.
@Suite struct ReportTests {
    private func json(_ output: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    }

    @Test func saysWhatPagingHasSaved() throws {
        let state = try SampleState(directory: Repository.sampleDirectory)
        let daemon = try TestDaemon.started(arguments: ["--gpu-hour-price", "2.5"])
        func run(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderctl", arguments + ["--socket", daemon.socket])
        }
        #expect(try run("report").output == "nothing to report: no state was stored or restored yet\n")
        let client = try daemon.connect()
        let session = try client.openGPL(state)
        #expect(try run("report", "--session", "test/gpl").output.contains("nothing to report: session test/gpl"))
        let pieces = state.pieces(chunkTokens: 256)
        for result in try client.put(pieces, session: session) { _ = try result.get() }
        let plan = try client.resume(session: session)
        #expect(plan.prefillRate == 0 && plan.cheapestOffset == plan.offset)
        for piece in pieces { #expect(try client.get(piece, session: session) == piece.bytes) }
        let unknown = try run("report")
        #expect(unknown.code == 0 && unknown.output.contains("not in the time: 1599 tokens"), "\(unknown.output)")

        #expect(try run("prefill-rate", "gemma-3-270m", "550").output.contains("550 tokens a second"))
        #expect(try client.resume(session: session).prefillRate == 550)
        #expect(try client.resume(session: session, prefillRate: 700).prefillRate == 700)
        try checkReport(client, session, state, pieces)
        let text = try run("report", "--since", "24h").output
        // 1,599 tokens at 550 a second, and 2.50 an hour for that.
        #expect(text.contains("prefill avoided: 2.9 s of GPU time, 0.0020 saved at 2.50 a GPU-hour"), "\(text)")
        #expect(text.contains("cost per million tokens: 1.26 to compute them"), "\(text)")
        #expect(text.contains("total") && text.contains("declared"), "\(text)")
        let report = try json(try run("report", "--namespace", "test", "--model", "gemma-3-270m", "--json").output)
        let total = try #require(report["total"] as? [String: Any])
        #expect(total["notRecomputedTokens"] as? Int == 1_599 && report["gpuHourPrice"] as? Double == 2.5)
        #expect(try #require(total["gpuSecondsAvoided"] as? Double) > 2.9)
        let own = try run("report", "--session", "test/gpl")
        #expect(own.code == 0 && own.output.contains("savings of session test/gpl"), "\(own.output)")
        try checkRefusals { try TestDaemon.run("larderctl", $0 + ["--socket", daemon.socket]) }

        daemon.end(signal: 15)
        try daemon.start()
        #expect(try daemon.connect().report().rows[0].restoredTokens == 1_599)
        #expect(try run("report").output.contains("prefill avoided: 2.9 s"))
        #expect(try run("prefill-rate", "1", "0", "--json").code == 0)
        #expect(try daemon.connect().report().rows[0].prefillRate == 700)
    }

    private func checkReport(
        _ client: Client, _ session: UInt64, _ state: SampleState, _ pieces: [SampleState.Piece]
    ) throws {
        let answer = try client.report()
        let raw = UInt64(pieces.reduce(0) { $0 + $1.bytes.count })
        let row = try #require(answer.rows.first)
        #expect(answer.rows.count == 1 && answer.gpuHourPriceMicros == 2_500_000 && row.namespace == "test")
        #expect(row.storedTokens == 1_599 && row.restoredTokens == 1_599 && row.notRecomputedTokens == 1_599)
        #expect(row.pageOutRawBytes == raw && row.pageInRawBytes == raw && row.pageOutStoredBytes < raw)
        #expect(row.prefillRate == 550 && row.rateOrigin == .declared && row.prefillAvoidedMilliseconds == 2_907)
        #expect(answer.from % 3_600 == 0 && answer.from < answer.to && answer.to <= Clock.wallSeconds() + 3_600)
        let own = try client.report(session: session)
        #expect(own.rows == answer.rows)
        #expect(try client.report(to: answer.from).rows.isEmpty)
    }

    private func checkRefusals(_ run: ([String]) throws -> (code: Int32, output: String)) throws {
        #expect(try run(["report", "--until", "2026-01-01"]).output.contains("nothing to report"))
        #expect(try run(["report", "--namespace", "none"]).output.contains("nothing to report"))
        #expect(try run(["report", "--since", "yesterday"]).code == 64)
        #expect(try run(["report", "--since", "2026-02-30"]).code == 64)
        #expect(try run(["report", "--since", "1h", "--until", "2h"]).code == 64)
        #expect(try run(["report", "--session", "test/gpl", "--since", "1h"]).code == 64)
        #expect(try run(["report", "--model", "nothing"]).code == 2)
        #expect(try run(["report", "--model", "77"]).code == 2)
        #expect(try run(["report", "--session", "test/none"]).code == 2)
        #expect(try run(["prefill-rate", "77", "5"]).code == 2)
        #expect(try run(["prefill-rate", "1", "fast"]).code == 64)
    }

    @Test func refusesAFilterOnASession() throws {
        let daemon = try TestDaemon.started()
        let peer = try Peer(daemon)
        try peer.send(Report(session: 65, from: 1).frame(requestID: 2))
        #expect(try peer.receiveRefusal() == .invalidArgument)
        try peer.send(Report(session: 65).frame(requestID: 3))
        #expect(try peer.receiveRefusal() == .unknownSession)
        try peer.send(Report(from: 9, to: 8).frame(requestID: 4))
        #expect(try peer.receiveRefusal() == .invalidArgument)
        try peer.send(SetPrefillRate(modelID: 5, prefillRate: 1).frame(requestID: 5))
        #expect(try peer.receiveRefusal() == .unknownModel)
    }
}
