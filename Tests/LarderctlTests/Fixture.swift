import Foundation
import LarderClient
import LarderModel
import LarderSystem
import LarderTestSupport
import LarderWire

/// A daemon with a small hybrid model, and larderctl to ask it.
final class Fixture {
    static let model = ModelDeclaration(
        name: "hybrid", revision: "1", weights: "w",
        components: [
            Component(name: "attention", kind: .attention, elementType: .bf16, layers: 4, rowBytes: 128),
            Component(name: "state", kind: .recurrent, elementType: .f32, layers: 2, planes: 1, rowBytes: 2_048),
        ])
    static let chunkTokens: UInt32 = 64

    let daemon: TestDaemon
    let client: Client
    let modelID: UInt32

    /// A daemon that runs.
    init(_ arguments: String...) throws {
        daemon = try TestDaemon.started(arguments: arguments)
        client = try daemon.connect()
        modelID = try client.declare(Self.model).modelID
    }

    /// A new connection to a daemon that was started again.
    static func connected(_ daemon: TestDaemon) throws -> Fixture { try Fixture(daemon) }

    private init(_ daemon: TestDaemon) throws {
        self.daemon = daemon
        client = try daemon.connect()
        modelID = try client.declare(Self.model).modelID
    }

    /// A path in the daemon's directory.
    func path(_ name: String) -> String { daemon.directory.path + "/" + name }

    /// Runs larderctl: its exit code, and what it printed to either stream.
    func ctl(_ arguments: String...) throws -> (code: Int32, output: String) { try ctl(arguments) }

    func ctl(_ arguments: [String]) throws -> (code: Int32, output: String) {
        try TestDaemon.run("larderctl", arguments + ["--socket", daemon.socket])
    }

    /// Runs larderctl with --json, and reads what it prints.
    func json(_ arguments: String...) throws -> [String: Any] {
        let output = try ctl(arguments + ["--json"]).output
        return try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any] ?? [:]
    }

    /// Opens a session and puts chunks into it: of attention, and a state behind each. Random bytes, the same for a seed.
    @discardableResult
    func fill(
        _ name: String, namespace: String = "agents", chunks: Range<Int> = 0..<4, seed: UInt64, keys: Bool = false
    ) throws -> UInt64 {
        let session = try client.openSession(namespace: namespace, name: name, modelID: modelID).session
        for index in chunks {
            var generator = SeededGenerator(seed: seed &+ UInt64(index))
            let offset = UInt64(index) * UInt64(Self.chunkTokens)
            let bytes = generator.bytes(Self.model.components[0].byteCount(tokens: Self.chunkTokens))
            let key = keys ? PrefixKey((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }) : nil
            try put(session, 0, offset, Self.chunkTokens, bytes, key)
            let state = generator.bytes(Self.model.components[1].byteCount(tokens: 0))
            try put(session, 1, offset + UInt64(Self.chunkTokens), 0, state)
        }
        return session
    }

    func put(
        _ session: UInt64, _ component: UInt16, _ offset: UInt64, _ tokens: UInt32, _ bytes: [UInt8],
        _ key: PrefixKey? = nil
    ) throws {
        let name = ChunkName(session: session, component: component, offset: offset)
        let results = try bytes.withUnsafeBytes {
            try client.put([PageOut(name: name, tokens: tokens, bytes: $0, naming: key.map { .key($0) } ?? .none)])
        }
        _ = try results[0].get()
    }

    /// All that a session sees, by component and offset; nil for a chunk that is not served.
    func content(_ session: UInt64, _ client: Client? = nil) throws -> [String: [UInt8]?] {
        let client = client ?? self.client
        var content: [String: [UInt8]?] = [:]
        for chunk in try client.chunks(session: session) {
            var bytes = [UInt8](repeating: 0, count: Int(chunk.rawBytes))
            let result = try bytes.withUnsafeMutableBytes {
                try client.get([PageIn(name: chunk.name, destination: $0)])
            }[0]
            let isServed = if case .success = result { true } else { false }
            content["\(chunk.name.component) \(chunk.name.offset)"] = .some(isServed ? bytes : nil)
        }
        return content
    }

    /// The id of a session.
    func session(_ namespace: String, _ name: String, _ client: Client? = nil) throws -> UInt64? {
        try (client ?? self.client).sessions(namespace: namespace).first { $0.name == name }?.session
    }

    /// Stops the daemon, flips a bit in the middle of each of the first `count` stored chunks of a shard, and starts it anew.
    func flipChunks(_ count: Int) throws {
        daemon.end(signal: 15)
        let path = daemon.store + "/shard-0/data.mdb"
        var data = try FileSystem.read(path, limit: 1 << 30)
        let magic = Array("LCK1".utf8)
        var flipped = 0
        for place in stride(from: 16, to: data.count - 4, by: 8)
        where flipped < count && data[place] == magic[0] && Array(data[place..<place + 4]) == magic {
            data[place + 3_000] ^= 16
            flipped += 1
        }
        precondition(flipped == count, "the file has no \(count) chunks")
        try FileSystem.write(data, to: path)
        try daemon.start()
    }
}
