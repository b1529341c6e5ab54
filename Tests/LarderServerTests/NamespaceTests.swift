import Foundation
import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// Policies of namespaces over the socket and on the command line.
@Suite struct NamespaceTests {
    private func code(_ body: () throws -> Void) -> ErrorCode? {
        do {
            try body()
            return nil
        } catch ClientError.refused(let error) { return error.code } catch { return .internal }
    }

    @Test func setsAndListsPolicies() throws {
        let daemon = try TestDaemon.started(arguments: ["--shards", "2"])
        let client = try daemon.connect()
        let model = try client.declare(Wide.model).modelID
        let session = try client.openSession(namespace: "test", name: "s", modelID: model).session
        _ = try client.openSession(namespace: "other", name: "s", modelID: model)
        var change = NamespaceChange()
        change.salt = Array(50..<82)
        change.ttlSeconds = 3_600
        change.maxSessions = 2
        let policy = try client.configure(namespace: "test", change)
        #expect(policy.hasSalt && policy.ttlSeconds == 3_600 && policy.maxSessions == 2 && policy.sharing == .shared)
        #expect(try client.configure(namespace: "test") == policy)
        let list = try client.namespaces()
        #expect(list.map(\.name) == ["test", "other"] && list.map(\.sessions) == [1, 1])
        #expect(list[0].policy == policy && list[1].policy == PolicySummary(NamespacePolicy()))
        _ = try client.openSession(namespace: "test", name: "t", modelID: model)
        #expect(code { _ = try client.openSession(namespace: "test", name: "u", modelID: model) } == .full)
        #expect(code { _ = try client.fork(session: session, offset: 0, name: "u") } == .full)
        #expect(code { _ = try client.configure(namespace: "none", change) } == .unknownSession)
        change.salt = [UInt8](repeating: 0, count: 33)
        #expect(code { _ = try client.configure(namespace: "test", change) } == .invalidArgument)
        try client.configure(session: session, ttlSeconds: 60)
        #expect(code { try client.configure(session: 12_345 * 64, ttlSeconds: 60) } == .unknownSession)
        #expect(daemon.end(signal: 9) == 137)
        try daemon.start()
        let again = try daemon.connect()
        #expect(try again.namespaces().map(\.sessions) == [2, 1] && again.namespaces()[0].policy == policy)
        #expect(try again.sessions(namespace: "test").map(\.ttlSeconds).sorted() == [0, 60])
    }

    @Test func obeysSharingAtOnce() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let model = try client.declare(Wide.model).modelID
        let sessions = try (0..<3).map {
            try client.openSession(namespace: "test", name: "s\($0)", modelID: model).session
        }
        let key = PrefixKey([UInt8](repeating: 3, count: 32))!
        let bytes = [UInt8](repeating: 5, count: Wide.bytes)
        func put(_ session: UInt64) throws {
            let name = ChunkName(session: session, component: 0, offset: 0)
            let results = try bytes.withUnsafeBytes {
                try client.put([PageOut(name: name, tokens: 16, bytes: $0, naming: .key(key))])
            }
            _ = try results[0].get()
        }
        func match() throws -> Int { try client.match(namespace: "test", modelID: model, component: 0, keys: [key]) }
        try put(sessions[0])
        #expect(try match() == 1)
        var change = NamespaceChange()
        change.sharing = .off
        try client.configure(namespace: "test", change)
        try put(sessions[1])
        let name = ChunkName(session: sessions[2], component: 0, offset: 0)
        #expect(try client.put([PageOut(name: name, tokens: 16, known: key)]).map(\.errorCode) == [.miss])
        #expect(try match() == 0 && client.stat()["blobs"] == 2)
    }

    @Test func showsPeopleWhatIsSet() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        let model = try client.declare(Wide.model).modelID
        _ = try client.openSession(namespace: "agents", name: "s", modelID: model)
        func run(_ arguments: String...) throws -> (code: Int32, output: String) {
            try TestDaemon.run("larderctl", arguments + ["--socket", daemon.socket])
        }
        #expect(try run("namespace", "show", "agents").output.contains("expires   never"))
        let salt = "00ff" + String(repeating: "5a", count: 30)
        let set = try run(
            "namespace", "set", "agents", "--ttl", "24h", "--min", "10MiB", "--max", "1GiB", "--max-sessions", "3",
            "--admission", "second-touch", "--salt", salt)
        #expect(set.code == 0 && set.output.contains("sessions  1, at most 3"), "\(set.output)")
        #expect(set.output.contains("10.0 MiB kept for it, at most 1.0 GiB") && set.output.contains("on, salted"))
        #expect(set.output.contains("1 d after the last use") && set.output.contains("second-touch"))
        #expect(try client.configure(namespace: "agents").maxBytes == 1 << 30)
        let list = try run("namespace", "list")
        #expect(list.output.contains("agents") && list.output.contains("on, salted"), "\(list.output)")
        let json = try run("namespace", "list", "--json").output
        let entries = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [[String: Any]]
        let entry = try #require(entries?.first)
        #expect(entry["hasSalt"] as? Bool == true && entry["ttlSeconds"] as? Int == 86_400)
        // The salt is shown nowhere.
        for output in [set.output, list.output, json, daemon.log] { #expect(!output.lowercased().contains("5a5a")) }
        let off = try run("namespace", "set", "agents", "--sharing", "off", "--no-salt", "--max", "none", "--json")
        #expect(off.output.contains("\"sharing\" : \"off\"") && off.output.contains("\"hasSalt\" : false"))
        let unsalted = try client.configure(namespace: "agents")
        #expect(try run("namespace", "set", "agents", "--new-salt").code == 0)
        #expect(!unsalted.hasSalt && unsalted.maxBytes == 0)
        #expect(try client.configure(namespace: "agents").hasSalt)
        try checkMistakes { try TestDaemon.run("larderctl", $0 + ["--socket", daemon.socket]) }
    }

    private func checkMistakes(_ run: ([String]) throws -> (code: Int32, output: String)) throws {
        for wrong in [
            ["--ttl", "24"], ["--ttl", "1y"], ["--ttl", "200w", "--min", "x"], ["--max", "-1"], ["--salt", "0"],
            ["--salt", String(repeating: "00", count: 33)], ["--salt", "gg"], ["--salt", "00", "--no-salt"],
            ["--sharing", "maybe"], ["--admission", "x"], ["--max-sessions", "-1"], [],
        ] {
            let refused = try run(["namespace", "set", "agents"] + wrong)
            #expect(refused.code == 64, "\(wrong): \(refused.output)")
        }
        #expect(try run(["namespace", "set", "agents", "--ttl", "24"]).output.contains("not a time such as 90s"))
        let crossed = try run(["namespace", "set", "agents", "--max", "1MiB"])
        #expect(crossed.code == 2 && crossed.output.contains("above the maximum"), "\(crossed.output)")
        let none = try run(["namespace", "set", "nobody", "--ttl", "1h"])
        #expect(none.code == 2 && none.output.contains("there is no namespace 'nobody'"))
        #expect(try run(["namespace", "show", "nobody"]).code == 2)
        let own = try run(["ttl", "agents/s", "2h"])
        #expect(own.code == 0 && own.output.contains("agents/s: expires 2 h after its last use"), "\(own.output)")
        #expect(try run(["show", "agents/s"]).output.contains("expires 2 h after its last use"))
        #expect(try run(["sessions", "--json"]).output.contains("\"ttlSeconds\" : 7200"))
        #expect(try run(["ttl", "agents/s", "never"]).output.contains("never expires, whatever"))
        #expect(try run(["ttl", "agents/s", "default"]).output.contains("1 d after its last use, as its namespace"))
        #expect(try run(["ttl", "agents/s", "none"]).code == 64)
        #expect(try run(["ttl", "agents/x", "2h"]).code == 2)
        #expect(try run(["namespace", "--help"]).output.contains("set"))
    }
}
