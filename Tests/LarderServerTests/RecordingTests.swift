import Foundation
import LarderClient
import LarderModel
import LarderPolicy
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

@Suite struct RecordingTests {
    private static let model = ModelDeclaration(
        name: "recorded",
        components: [Component(name: "kv", kind: .attention, elementType: .bytes, layers: 1, planes: 1, rowBytes: 8)])

    private static func key(_ number: UInt8) -> PrefixKey { PrefixKey([UInt8](repeating: number, count: 32))! }

    /// Puts chunks of 512 tokens, named by their keys.
    private static func put(_ client: Client, _ session: UInt64, keys: [UInt8]) throws {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 512 * 8, alignment: 8)
        defer { bytes.deallocate() }
        for (index, number) in keys.enumerated() {
            bytes.initializeMemory(as: UInt8.self, repeating: number)
            let name = ChunkName(session: session, component: 0, offset: UInt64(index) * 512)
            let chunk = PageOut(
                name: name, tokens: 512, bytes: UnsafeRawBufferPointer(bytes), naming: .key(key(number)))
            for result in try client.put([chunk]) { _ = try result.get() }
        }
    }

    @Test func aDaemonsTurnsAreATraceThatCanBeSimulated() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/trace.jsonl"
        let daemon = try TestDaemon.started(arguments: ["--record-trace", path, "--cap", "64MiB"])
        let client = try daemon.connect()
        let model = try client.declare(Self.model).modelID
        for (number, keys) in [[UInt8(1), 2, 3], [1, 2, 4], [1, 2, 3]].enumerated() {
            _ = try client.match(namespace: "n", modelID: model, component: 0, keys: keys.map(Self.key))
            let session = try client.openSession(namespace: "n", name: "s\(number)", modelID: model).session
            try Self.put(client, session, keys: keys)
        }
        let arguments = ["simulate", "--trace", path, "--socket", daemon.socket]
        #expect(daemon.end(signal: 15) == 0)
        let trace = try RequestTrace(try FileSystem.read(path, limit: 1 << 20), name: path).orderedByTime
        try #require(trace.requests.count == 3)
        #expect(trace.requests.map(\.length) == [1_536, 1_536, 1_536])
        #expect(trace.uniqueBlocks == 4)
        #expect(trace.requests[0].blocks == trace.requests[2].blocks)
        // What the daemon does not say can be given.
        let given = try TestDaemon.run("larderctl", arguments + ["--cap", "1GiB", "--token-bytes", "8"])
        #expect(given.code == 0 && given.output.contains("3 turns of 4608 prompt tokens, 4 different blocks"))
        // Two blocks of the second and three of the third were held: 2,560 of 4,608 tokens.
        #expect(given.output.contains("55.6 %"))
        #expect(try TestDaemon.run("larderctl", arguments).code == 3)
        // The daemon knows the rest. (It begins its recording anew.)
        let copy = directory.path + "/copy.jsonl"
        try FileSystem.write(try FileSystem.read(path, limit: 1 << 20), to: copy)
        try daemon.start()
        let asked = try TestDaemon.run(
            "larderctl", ["simulate", "--trace", copy, "--socket", daemon.socket, "--sizes", "2x,1GiB", "--json"])
        let report = try JSONSerialization.jsonObject(with: Data(asked.output.utf8)) as? [String: Any]
        let rows = try #require(report?["rows"] as? [[String: Any]])
        #expect(rows.map { $0["bytes"] as? Int } == [128 << 20, 1 << 30])
        #expect(rows.allSatisfy { $0["foundTokens"] as? Int == 2_560 })
    }

    @Test func theFileIsBounded() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/trace.jsonl"
        let daemon = try TestDaemon.started(arguments: ["--record-trace", path, "--record-trace-bytes", "200"])
        let client = try daemon.connect()
        let model = try client.declare(Self.model).modelID
        for number in 0..<8 {
            let session = try client.openSession(namespace: "n", name: "s\(number)", modelID: model).session
            _ = try client.resume(session: session)
            try Self.put(client, session, keys: [1, 2])
        }
        #expect(try client.stat().counters.contains { $0.name == "trace_turns" })
        #expect(daemon.end(signal: 15) == 0)
        let size = try #require(FileSystem.size(path))
        #expect(size > 0 && size <= 200)
        #expect(daemon.log.contains("the trace has its size"))
    }

    @Test func nothingIsRecordedUnasked() throws {
        let daemon = try TestDaemon.started()
        let client = try daemon.connect()
        #expect(try !client.stat().counters.contains { $0.name.hasPrefix("trace_") })
        #expect(daemon.end(signal: 15) == 0)
    }
}
