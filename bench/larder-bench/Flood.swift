import ArgumentParser
import LarderClient
import LarderModel
import LarderSystem
import Synchronization

/// What a worker that floods the daemon costs a quiet one.
struct Flood: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "A quiet worker's page-ins and page-outs alone, and beside a worker that floods the daemon.",
        discussion: """
            The quiet worker pages one chunk, rests, and pages the next. The flooder pages batches on several connections \
            as fast as it is served: half of them out, half in. Both have their turn in each round, so that the ratio is of \
            one machine in one state. The flooder is of the same user: the harder case, for users come before connections.
            """)
    @OptionGroup var common: CommonOptions
    @Option(help: "Connections of the flooder.") var flooders = 8
    @Option(help: "Raw bytes of the quiet worker's chunks, a multiple of 1024.") var size = 1 << 20
    @Option(help: "Milliseconds that the quiet worker rests between operations.") var rest = 5
    @Option(help: "Seconds of each turn.") var seconds = 5.0
    @Option(help: "Rounds, each with a turn alone and one beside the flood.") var rounds = 3

    func validate() throws {
        try CommonOptions.require(flooders, in: 1...64, "flooders")
        try CommonOptions.require(size, in: 1_024...16 << 20, "size")
        try CommonOptions.require(rest, in: 0...1_000, "rest")
        try CommonOptions.require(rounds, in: 1...100, "rounds")
        guard size % 1_024 == 0 else { throw ValidationError("--size \(size) is not a multiple of 1024") }
        guard seconds > 0, seconds <= 600 else { throw ValidationError("--seconds \(seconds) is not in 0...600") }
    }

    /// Chunks of the quiet worker's set, one after another.
    private static let chunks = 16

    func run() throws {
        let quiet = Quiet()
        defer { quiet.warn() }
        let state = try common.sampleState()
        let set = ChunkSet(valuesOf: state, chunks: Self.chunks, layers: 1, tokens: size / 1_024)
        let bench = PageBench(state: state, real: ChunkSet(state), runs: rounds, daemonArguments: [])
        let (alone, beside, flooded) = try bench.withDaemon { daemon, _ in
            let worker = try QuietWorker(daemon, set, rest: rest)
            let flood = try (0..<flooders).map { try Flooder(daemon, bench.real, pagesOut: $0 % 2 == 0) }
            var alone = QuietWorker.Sides()
            var beside = QuietWorker.Sides()
            for _ in 0..<rounds {
                alone.add(try worker.work(seconds: seconds))
                beside.add(try Flooder.run(flood) { try worker.work(seconds: seconds) })
            }
            return (alone, beside, flood.reduce(0) { $0 + $1.bytes })
        }
        try common.show(rows(alone, beside, flooded))
    }

    private func rows(_ alone: QuietWorker.Sides, _ beside: QuietWorker.Sides, _ flooded: Int) -> [Measurement] {
        let detail = [
            "flooders": "\(flooders)", "chunk_bytes": "\(size)", "rest_ms": "\(rest)",
            "flooded_gb_per_s": formatted(Double(flooded) / 1e9 / (seconds * Double(rounds)), 2),
        ]
        return [("page_in", alone.pageIn, beside.pageIn), ("page_out", alone.pageOut, beside.pageOut)].flatMap {
            name, alone, beside in
            [
                Measurement(
                    "flooded_over_alone_\(name)_p99", beside.percentile(99) / alone.percentile(99), unit: "ratio",
                    goal: 2, better: .lower,
                    detail: detail.merging(["flooded": "\(beside.count)", "alone": "\(alone.count)"]) { $1 }),
                Measurement("flooded_\(name)_p99", beside.percentile(99), unit: "us", better: .lower),
                Measurement("alone_\(name)_p99", alone.percentile(99), unit: "us", better: .lower),
                Measurement("flooded_\(name)_p50", beside.percentile(50), unit: "us", better: .lower),
                Measurement("alone_\(name)_p50", alone.percentile(50), unit: "us", better: .lower),
            ]
        }
    }
}

/// A worker that pages one chunk, rests, and pages the next. Used by one thread.
private final class QuietWorker {
    struct Sides {
        var pageIn = Latencies()
        var pageOut = Latencies()

        mutating func add(_ other: Sides) {
            pageIn.add(other.pageIn)
            pageOut.add(other.pageOut)
        }
    }

    private let worker: Worker
    private let rest: Int
    private let stored: UInt64

    init(_ daemon: DaemonProcess, _ set: ChunkSet, rest: Int) throws {
        worker = try Worker(daemon, set)
        self.rest = rest
        stored = try worker.pageOut()
    }

    func work(seconds: Double) throws -> Sides {
        var sides = Sides()
        let deadline = Clock.deadline(seconds: seconds)
        while Clock.now() < deadline {
            let session = try worker.newSession()
            for (pageOut, pageIn) in zip(worker.pageOuts(session), worker.pageIns(stored)) {
                var start = Clock.now()
                _ = try worker.client.put([pageOut])[0].get()
                sides.pageOut.record(nanoseconds: Clock.now() - start)
                Clock.sleep(milliseconds: rest)
                start = Clock.now()
                _ = try worker.client.get([pageIn])[0].get()
                sides.pageIn.record(nanoseconds: Clock.now() - start)
                Clock.sleep(milliseconds: rest)
                if Clock.now() >= deadline { break }
            }
            try worker.client.drop(session: session)
        }
        return sides
    }
}

/// One connection of a worker that pages batches as fast as it is served.
private final class Flooder: @unchecked Sendable {
    private let worker: Worker
    private let pagesOut: Bool
    private let stored: UInt64
    /// Raw bytes paged so far. Read while nobody works.
    private(set) var bytes = 0

    init(_ daemon: DaemonProcess, _ set: ChunkSet, pagesOut: Bool) throws {
        worker = try Worker(daemon, set)
        self.pagesOut = pagesOut
        stored = try worker.pageOut()
    }

    /// Has all of them flood the daemon while `body` runs.
    static func run<Result>(_ flooders: [Flooder], _ body: () throws -> Result) throws -> Result {
        let state = Monitor((isOver: false, left: flooders.count, failure: String?.none))
        for flooder in flooders {
            try WorkerThread(name: "flooder") {
                var failure: String?
                do { while !state.withLock({ $0.isOver }) { try flooder.page() } } catch { failure = "\(error)" }
                state.signal {
                    $0.left -= 1
                    if $0.failure == nil { $0.failure = failure }
                }
            }.detach()
        }
        // All of them at work before the first measurement.
        Clock.sleep(milliseconds: 200)
        defer {
            state.signal { $0.isOver = true }
            _ = state.wait { $0.left == 0 ? true : nil }
        }
        let result = try body()
        if let failure = state.withLock({ $0.failure }) { throw ValidationError("a flooder failed: \(failure)") }
        return result
    }

    private func page() throws {
        if pagesOut {
            let session = try worker.newSession()
            for result in try worker.client.put(worker.pageOuts(session)) {
                // A queue that is full is what a flood meets.
                if case .failure(let error) = result, error.code != .busy { throw error }
            }
            try worker.client.drop(session: session)
        } else {
            try worker.pageIn(from: stored)
        }
        bytes += worker.set.bytes.count
    }
}
