import Foundation
import LarderAdmin
import LarderClient
import LarderMetrics
import LarderModel
import LarderServer
import LarderSystem
import LarderWire
import Logging

extension FuzzTarget {
    /// Requests to the admin side, as text: a line of method and target, then the body, up to a line of `%%`. They are
    /// answered by the routes over a small store, without a socket. No answer is of an error that nobody foresaw;
    /// answers are JSON where they say so.
    static let admin = FuzzTarget("admin", inputBytes: 8 << 10) { input in try AdminCheck.shared.check(input) }
}

/// For one thread at a time.
private final class AdminCheck: @unchecked Sendable {
    static let shared = AdminCheck()
    /// A new store takes the place of one that was changed so often.
    private static let changesPerStore = 200
    private static let requestsPerInput = 8
    /// It would write to a directory of the input's choosing.
    private static let excluded: Set<String> = ["/v1/backup"]
    private static let separator = Array("\n%%\n".utf8)

    private var store: AdminStore?
    private var changes = 0

    func check(_ input: UnsafeRawBufferPointer) throws {
        if changes >= Self.changesPerStore {
            store?.stop()
            (store, changes) = (nil, 0)
        }
        let store = try self.store ?? AdminStore()
        self.store = store
        for request in Self.requests(Array(input)) { try ask(store, request) }
    }

    private func ask(_ store: AdminStore, _ request: [UInt8]) throws {
        let line = request.prefix { $0 != UInt8(ascii: "\n") }
        let words = line.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
        // What the parser of HTTP lets through: no spaces and no control characters.
        guard words.count == 2, !words[1].isEmpty, words[1].allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { return }
        let (method, target) = (String(decoding: words[0], as: UTF8.self), String(decoding: words[1], as: UTF8.self))
        if Self.excluded.contains(AdminRoutes.path(of: target)) { return }
        let answer: AdminRoutes.Answer
        do {
            answer = try store.routes.answer(
                method: method, target: target, body: Array(request[line.endIndex...].dropFirst()))
        } catch {
            throw FuzzFinding("\(method) \(target) failed in a way that nobody foresaw: \(error)")
        }
        if answer.status < 300, method != "GET" { changes += 1 }
        guard let body = answer.body, answer.contentType == "application/json" else { return }
        let text = String(decoding: body, as: UTF8.self)
        try require(
            (try? JSONSerialization.jsonObject(with: Data(body))) != nil,
            "\(method) \(target): no JSON: \(text.prefix(300))")
        let isFault = ["internal", "damaged", "store_unusable"].contains { text.contains("\"code\":\"\($0)\"") }
        try require(answer.status < 500 || !isFault, "\(method) \(target): \(answer.status) \(text.prefix(300))")
    }

    private static func requests(_ input: [UInt8]) -> [[UInt8]] {
        var requests: [[UInt8]] = [[]]
        var index = 0
        while index < input.count, requests.count <= requestsPerInput {
            if input[index...].starts(with: separator) {
                requests.append([])
                index += separator.count
            } else {
                requests[requests.count - 1].append(input[index])
                index += 1
            }
        }
        return Array(requests.prefix(requestsPerInput))
    }
}

/// A daemon with a few sessions, and the routes over it.
private final class AdminStore {
    let routes: AdminRoutes
    private let daemon: Daemon
    private let directory = ScratchDirectory()

    init() throws {
        let flags = [
            "socket": directory.path + "/s", "data_dir": directory.path + "/store", "cap": "64MiB",
            "codec_helpers": "0",
        ]
        try FileSystem.write([], to: directory.path + "/empty.toml")
        let loaded = try LoadedConfiguration(flags: flags, path: directory.path + "/empty.toml") { _ in nil }
        let log = Logger(label: "larder-fuzz") { _ in SwiftLogNoOpLogHandler() }
        daemon = try Daemon(loaded.configuration, log: log)
        routes = AdminRoutes(daemon, loaded, metrics: MetricsRegistry(), log: log)
        try daemon.start()
        try Self.fill(Client(socketPath: directory.path + "/s", name: "fuzz"))
    }

    func stop() {
        routes.stop()
        daemon.stop()
    }

    /// Two namespaces, a model of two components, three sessions of which one is a fork: ids 1 and on, the same each
    /// time.
    private static func fill(_ client: Client) throws {
        let model = ModelDeclaration(
            name: "plain",
            components: [
                Component(name: "attention", kind: .attention, elementType: .bf16, layers: 2, planes: 2, rowBytes: 16),
                Component(name: "state", kind: .recurrent, elementType: .f32, layers: 1, planes: 1, rowBytes: 64),
            ])
        let modelID = try client.declare(model).modelID
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 64, alignment: 16)
        bytes.initializeMemory(as: UInt8.self, repeating: 7)
        defer { bytes.deallocate() }
        for (namespace, name) in [("agents", "branch 1"), ("tools", "branch 2")] {
            let session = try client.openSession(namespace: namespace, name: name, modelID: modelID).session
            for index in 0..<4 {
                let name = ChunkName(session: session, component: 0, offset: UInt64(64 * index))
                for result in try client.put([PageOut(name: name, tokens: 64, bytes: UnsafeRawBufferPointer(bytes))]) {
                    _ = try result.get()
                }
            }
            _ = try client.fork(session: session, offset: 128, name: "fork of \(name)")
        }
    }
}
