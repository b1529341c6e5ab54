import Foundation
import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// The cap by wire and by `larderctl cap`.
@Suite struct CapCommandTests {
    @Test func showsAndChangesTheCap() throws {
        let daemon = try TestDaemon.started(arguments: ["--cap", "64MiB"])
        func run(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderctl", ["cap"] + arguments + ["--socket", daemon.socket])
        }
        #expect(try run().output.contains("64.0 MiB"))
        let raised = try run("100MiB")
        #expect(raised.code == 0 && raised.output.contains("100.0 MiB") && raised.output.contains("configuration"))
        let client = try daemon.connect()
        #expect(try client.stat()["cap_bytes"] == 100 << 20)
        #expect(try client.setCap(32 << 20).capBytes == 32 << 20)
        let report = try JSONSerialization.jsonObject(with: Data(try run("--json").output.utf8)) as? [String: Any]
        #expect(report?["capBytes"] as? Int == 32 << 20 && report?["aboveBytes"] as? Int == 0)
        #expect(report?["givesBack"] as? Bool == true && report?["changed"] as? Bool == false)
        let small = try run("1MiB")
        #expect(small.code == 2 && small.output.contains("too small") && small.output.contains("give at least"))
        #expect(try run("much").code == 64)
        #expect(try run("200TiB").code == 2)
        #expect(throws: ClientError.self) { try client.setCap(.max) }
        #expect(try client.stat()["cap_bytes"] == 32 << 20)
        // After a restart the configuration rules.
        daemon.end(signal: 15)
        try daemon.start()
        #expect(try daemon.connect().stat()["cap_bytes"] == 64 << 20)
    }
}
