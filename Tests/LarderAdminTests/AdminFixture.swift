import Foundation
import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// A value of JSON, for what a test looks at.
enum JSONValue: Decodable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .list(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// Null for what is no JSON.
    init(text: String) { self = (try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))) ?? .null }

    subscript(key: String) -> JSONValue { fields[key] ?? .null }
    subscript(index: Int) -> JSONValue { list.indices.contains(index) ? list[index] : .null }

    var fields: [String: JSONValue] { if case .object(let fields) = self { fields } else { [:] } }
    var list: [JSONValue] { if case .list(let list) = self { list } else { [] } }
    var text: String? { if case .text(let text) = self { text } else { nil } }
    var bool: Bool? { if case .bool(let bool) = self { bool } else { nil } }
    var int: Int? { if case .number(let number) = self { Int(exactly: number) } else { nil } }
    var exists: Bool { if case .null = self { false } else { true } }
}

/// A daemon with its admin socket.
final class AdminDaemon {
    let daemon: TestDaemon
    let socket: String
    /// What a daemon that is gone answers.
    private var nothing: HTTPPeer.Reply

    init(_ arguments: [String] = []) throws {
        daemon = try TestDaemon(arguments: arguments)
        socket = daemon.directory.path + "/admin.sock"
        try daemon.start()
        nothing = try #require(Self.connected(daemon), "\(daemon.log)").request("GET", "/healthz")
        (nothing.status, nothing.body, nothing.headers) = (0, "", [:])
    }

    /// A connection to a daemon's admin socket, which answers a moment after the data socket does.
    static func connected(_ daemon: TestDaemon) -> HTTPPeer? {
        let deadline = Clock.deadline(seconds: 60)
        var peer = HTTPPeer(socket: daemon.directory.path + "/admin.sock")
        while peer == nil, Clock.now() < deadline, daemon.isRunning {
            Clock.sleep(milliseconds: 5)
            peer = HTTPPeer(socket: daemon.directory.path + "/admin.sock")
        }
        return peer
    }

    /// Starts the daemon again, after it was ended.
    func restart() throws {
        try daemon.start()
        _ = try #require(Self.connected(daemon), "\(daemon.log)")
    }

    /// Asks over the admin socket.
    func ask(_ method: String, _ target: String, _ body: String? = nil, headers: [String: String] = [:])
        -> HTTPPeer.Reply
    {
        guard let peer = HTTPPeer(socket: socket) else { return nothing }
        return peer.request(method, target, body: body, headers: headers)
    }

    /// Asks, and expects JSON with a status.
    func json(
        _ method: String, _ target: String, _ body: String? = nil, status: Int = 200,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> JSONValue {
        let reply = ask(method, target, body)
        #expect(reply.status == status, "\(method) \(target): \(reply.body)", sourceLocation: sourceLocation)
        return JSONValue(text: reply.body)
    }

    /// Waits for a job's end.
    func finished(_ job: JSONValue) -> JSONValue {
        let deadline = Clock.deadline(seconds: 60)
        while Clock.now() < deadline {
            let now = json("GET", "/v1/jobs/\(job["id"].int ?? 0)")
            if now["state"].text != "running" { return now }
            Clock.sleep(milliseconds: 20)
        }
        return job
    }
}

extension Client {
    /// Opens a session of the sample's model.
    func open(_ name: String, _ state: SampleState) throws -> UInt64 {
        try openSession(namespace: "test", name: name, modelID: declare(state.model).modelID).session
    }

    /// Puts pieces of the sample.
    func store(_ pieces: [SampleState.Piece], session: UInt64) throws {
        for piece in pieces {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.bytes.count, alignment: 64)
            defer { buffer.deallocate() }
            buffer.copyBytes(from: piece.bytes)
            let name = ChunkName(session: session, component: piece.component, offset: UInt64(piece.offset))
            for result in try put([
                PageOut(name: name, tokens: UInt32(piece.tokens), bytes: UnsafeRawBufferPointer(buffer))
            ]) {
                _ = try result.get()
            }
        }
    }

    /// Reads a piece back; nil if it is not served as it was put.
    func holds(_ piece: SampleState.Piece, session: UInt64) throws -> Bool {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.bytes.count, alignment: 64)
        defer { buffer.deallocate() }
        let name = ChunkName(session: session, component: piece.component, offset: UInt64(piece.offset))
        guard case .success = try get([PageIn(name: name, destination: buffer)])[0] else { return false }
        return Array(buffer) == piece.bytes
    }
}

/// A model with one component of attention, and bytes for it: what can be restored at every chunk's end.
enum PlainState {
    static let tokens = 1_792
    static let model = ModelDeclaration(
        name: "plain",
        components: [
            Component(name: "attention", kind: .attention, elementType: .bf16, layers: 2, planes: 2, rowBytes: 64)
        ])

    static func pieces(seed: UInt64) -> [SampleState.Piece] {
        var generator = SeededGenerator(seed: seed)
        return stride(from: 0, to: tokens, by: 256).map {
            SampleState.Piece(component: 0, offset: $0, tokens: 256, bytes: generator.bytes(256 * 256))
        }
    }
}

extension SampleState {
    static func sample() throws -> SampleState { try SampleState(directory: Repository.sampleDirectory) }
}
