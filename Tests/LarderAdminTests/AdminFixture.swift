import Foundation
import LarderClient
import LarderModel
import LarderSampleState
import LarderSystem
import LarderTestSupport
import LarderWire
import Testing

/// A value of JSON, for what a test looks at.
struct JSONValue: @unchecked Sendable {
    let any: Any?

    init(_ any: Any?) { self.any = any }
    init(text: String) { any = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: [.fragmentsAllowed]) }

    subscript(key: String) -> JSONValue { JSONValue((any as? [String: Any])?[key]) }
    subscript(index: Int) -> JSONValue {
        let list = any as? [Any] ?? []
        return JSONValue(list.indices.contains(index) ? list[index] : nil)
    }
    var int: Int? { any as? Int }
    var text: String? { any as? String }
    var bool: Bool? { any as? Bool }
    var list: [JSONValue] { (any as? [Any] ?? []).map { JSONValue($0) } }
    var exists: Bool { any != nil }
}

/// A daemon with its admin socket.
final class AdminDaemon {
    let daemon: TestDaemon
    let socket: String

    init(_ arguments: [String] = []) throws {
        daemon = try TestDaemon(arguments: arguments)
        socket = daemon.directory.path + "/admin.sock"
        try daemon.start()
        // The data socket answers a moment before the admin socket does.
        let deadline = Clock.deadline(seconds: 60)
        while HTTPPeer(socket: socket) == nil, Clock.now() < deadline, daemon.isRunning { Clock.sleep(milliseconds: 5) }
    }

    /// Asks over the admin socket.
    func ask(_ method: String, _ target: String, _ body: String? = nil, headers: [String: String] = [:]) -> HTTPPeer.Reply {
        guard let peer = HTTPPeer(socket: socket) else { return HTTPPeer.Reply() }
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
            for result in try put([PageOut(name: name, tokens: UInt32(piece.tokens), bytes: UnsafeRawBufferPointer(buffer))]) {
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

extension SampleState {
    static func sample() throws -> SampleState { try SampleState(directory: Repository.sampleDirectory) }
}
