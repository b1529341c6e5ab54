import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem

/// What admin clients cost a worker: its page-ins while they poll, against its page-ins while nobody does, in blocks that
/// take turns; and one quiet block against another, which is what the machine's own noise makes of it.
struct AdminBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "admin", abstract: "Page-in while admin clients poll, as a ratio to page-in without them.")
    @OptionGroup var common: CommonOptions
    @Option(help: "Admin clients.") var clients = 10
    @Option(help: "Milliseconds between two requests of one client; 0 for none.") var interval = 1_000
    @Option(help: "Raw bytes of a chunk, a multiple of 1024.") var size = 65_536
    @Option(help: "Seconds of a block.") var seconds = 2
    @Option(help: "Rounds of which the median counts.") var rounds = 9
    @Option(help: "Sessions that the store holds, for what the clients list.") var sessions = 1_000

    func validate() throws {
        try CommonOptions.require(clients, in: 1...64, "clients")
        try CommonOptions.require(interval, in: 0...60_000, "interval")
        try CommonOptions.require(size / 1_024, in: 1...65_536, "size")
        try CommonOptions.require(seconds, in: 1...600, "seconds")
        try CommonOptions.require(rounds, in: 1...1_000, "rounds")
        try CommonOptions.require(sessions, in: 1...100_000, "sessions")
    }

    func run() throws {
        let quiet = Quiet()
        defer { quiet.warn() }
        let state = try common.sampleState()
        let set = ChunkSet(valuesOf: state, chunks: 64, layers: 1, tokens: size / 1_024)
        let bench = PageBench(state: state, real: set, runs: rounds, daemonArguments: [])
        try common.show(
            try bench.withDaemon { daemon, directory in
                let worker = try Worker(daemon, set)
                let session = try worker.pageOut(encoding: .auto)
                for _ in 1..<sessions { _ = try worker.newSession() }
                try worker.client.synchronise()
                return try measure(worker, session, adminSocket: directory + "/admin.sock")
            })
    }

    private func measure(_ worker: Worker, _ session: UInt64, adminSocket: String) throws -> [Measurement] {
        var ratios: [Double] = []
        var noise: [Double] = []
        var (without, with) = (Latencies(), Latencies())
        var asked = 0
        // The first block warms up.
        _ = try block(worker, session)
        for _ in 0..<rounds {
            let before = try block(worker, session)
            let polls = Polls(socket: adminSocket, clients: clients, intervalMilliseconds: interval)
            try polls.start()
            let during = try block(worker, session)
            asked += try polls.stop()
            let after = try block(worker, session)
            ratios.append(2 * during.percentile(99) / (before.percentile(99) + after.percentile(99)))
            noise.append(after.percentile(99) / before.percentile(99))
            without.add(before)
            without.add(after)
            with.add(during)
        }
        let detail = [
            "clients": "\(clients)", "interval_milliseconds": "\(interval)", "chunk_bytes": "\(size)",
            "sessions": "\(sessions)", "admin_requests": "\(asked)", "page_ins": "\(with.count)",
            "quiet_over_quiet": noise.sorted().map { formatted($0, 2) }.joined(separator: " "),
            "rounds": ratios.map { formatted($0, 2) }.joined(separator: " "),
        ]
        let sorted = ratios.sorted()
        let ordered = noise.map { max($0, 1 / $0) }.sorted()
        return [
            Measurement(
                "page_in_p99_admin_over_quiet", sorted[sorted.count / 2], unit: "ratio", goal: 1.1, better: .lower,
                detail: detail),
            Measurement(
                "page_in_p99_quiet_over_quiet", ordered[ordered.count / 2], unit: "ratio", better: .lower),
            Measurement("page_in_p50_quiet", without.percentile(50), unit: "us", better: .lower),
            Measurement("page_in_p99_quiet", without.percentile(99), unit: "us", better: .lower),
            Measurement("page_in_p50_admin", with.percentile(50), unit: "us", better: .lower),
            Measurement("page_in_p99_admin", with.percentile(99), unit: "us", better: .lower),
            Measurement("admin_requests_per_s", Double(asked) / Double(seconds * rounds), unit: "1/s"),
        ]
    }

    private func block(_ worker: Worker, _ session: UInt64) throws -> Latencies {
        var latencies = Latencies()
        let deadline = Clock.deadline(seconds: Double(seconds))
        while Clock.now() < deadline {
            for chunk in worker.pageIns(session) {
                let start = Clock.now()
                _ = try worker.client.get([chunk])[0].get()
                latencies.record(nanoseconds: Clock.now() - start)
            }
        }
        return latencies
    }
}

/// Clients that ask what a dashboard, Prometheus and an operator ask, one after another.
private final class Polls: Sendable {
    private struct State {
        var running = 0
        var isStopping = false
        var asked = 0
        var failure: String?
    }

    private static let targets = [
        "/v1/status", "/metrics", "/v1/sessions?sort=used&order=desc&limit=100", "/v1/history", "/v1/namespaces",
        "/v1/events/recent", "/healthz",
    ]

    private let socket: String
    private let clients: Int
    private let intervalMilliseconds: Int
    private let state = Monitor(State())

    init(socket: String, clients: Int, intervalMilliseconds: Int) {
        self.socket = socket
        self.clients = clients
        self.intervalMilliseconds = intervalMilliseconds
    }

    func start() throws {
        for client in 0..<clients {
            state.withLock { $0.running += 1 }
            try WorkerThread(name: "poll-\(client)") { [self] in
                var next = client
                while !wait() {
                    do {
                        try ask(Self.targets[next % Self.targets.count])
                        state.withLock { $0.asked += 1 }
                    } catch {
                        state.withLock { $0.failure = "\(error)" }
                    }
                    next += 1
                }
                state.signal { $0.running -= 1 }
            }.detach()
        }
    }

    /// Ends them; how many requests were answered.
    func stop() throws -> Int {
        state.signal { $0.isStopping = true }
        _ = state.wait { $0.running == 0 ? true : nil }
        let (asked, failure) = state.withLock { ($0.asked, $0.failure) }
        if let failure { throw ValidationError("an admin client was not answered: \(failure)") }
        return asked
    }

    /// True once it is to end.
    private func wait() -> Bool {
        let deadline = Clock.deadline(seconds: Double(intervalMilliseconds) / 1_000)
        return state.wait(until: deadline) { $0.isStopping ? true : nil } ?? false
    }

    private func ask(_ target: String) throws {
        let peer = try UnixSocket.connect(to: socket)
        let text = Array("GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8)
        try text.withUnsafeBytes { try peer.send($0) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 8)
        defer { buffer.deallocate() }
        var status: [UInt8] = []
        while true {
            let count = try peer.receive(into: buffer)
            if status.isEmpty { status = Array(buffer[..<min(count, 12)]) }
            if count < buffer.count { break }
        }
        guard String(decoding: status, as: UTF8.self) == "HTTP/1.1 200" else {
            throw ValidationError("\(target) was answered \(String(decoding: status, as: UTF8.self))")
        }
    }
}
