import LarderClient
import LarderModel
import LarderSystem

/// Workers that page out and then in, chunk by chunk, for a stated time.
struct Load: Sendable {
    /// Bytes of chunks that a worker pages before it begins again, unless one chunk is larger.
    private static let setBytes = 32 << 20

    private let workers: Int
    private let chunkBytes: Int
    private let encoding: EncodingChoice
    private let acknowledgement: Acknowledgement
    private let isSynthetic: Bool
    private let seconds: Double

    init(_ options: LoadOptions) {
        workers = options.workers ?? 1
        chunkBytes = options.size ?? 1 << 20
        encoding = options.encoding ?? .auto
        acknowledgement = options.acknowledgement ?? .committed
        isSynthetic = options.synthetic
        seconds = options.seconds ?? 5
    }

    /// One direction's operations.
    struct Side: Sendable {
        var latencies = Latencies()
        var refused = 0
    }

    func run(_ bench: PageBench) throws -> LoadResult {
        let count = max(1, min(Self.setBytes / chunkBytes, 1_024))
        let set =
            isSynthetic
            ? ChunkSet(incompressible: count, chunkBytes: chunkBytes)
            : ChunkSet(valuesOf: bench.state, chunks: count, layers: 1, tokens: chunkBytes / 1_024)
        let connections = ["--max-connections", "\(max(128, workers + 8))"]
        return try bench.withDaemon(connections) { daemon, _ in
            let all = try (0..<workers).map { _ in try Worker(daemon, set) }
            let (out, outTime) = try drive(all) { try pageOut($0, until: $1) }
            let sessions = try all.map { try $0.pageOut(encoding: encoding) }
            try all[0].client.synchronise()
            let named = Dictionary(uniqueKeysWithValues: zip(all.map { ObjectIdentifier($0) }, sessions))
            let (page, pageTime) = try drive(all) { try pageIn($0, named[ObjectIdentifier($0)]!, until: $1) }
            for (worker, session) in zip(all, sessions) { try worker.verify(session) }
            let detail = [
                "workers": "\(workers)", "chunk_bytes": "\(chunkBytes)", "encoding": "\(encoding)",
                "acknowledgement": "\(acknowledgement)", "data": isSynthetic ? "synthetic" : "real",
                "seconds": "\(seconds)",
            ]
            return LoadResult(
                chunkBytes: chunkBytes, detail: detail,
                sides: [("page_out", out, outTime), ("page_in", page, pageTime)])
        }
    }

    /// Has every worker do `body` until the time is over. Returns what they did and the nanoseconds that it took.
    private func drive(
        _ workers: [Worker], _ body: @escaping @Sendable (Worker, UInt64) throws -> Side
    ) throws -> (Side, Double) {
        let total = Monitor(Side())
        let deadline = Clock.deadline(seconds: seconds)
        let time = try Threads.run(workers.count) { index in
            let side = try body(workers[index], deadline)
            total.withLock {
                $0.latencies.add(side.latencies)
                $0.refused += side.refused
            }
        }
        return (total.withLock { $0 }, time)
    }

    /// Puts one chunk after another, each to be acknowledged, to sessions that are dropped once they are full.
    private func pageOut(_ worker: Worker, until deadline: UInt64) throws -> Side {
        var side = Side()
        while Clock.now() < deadline {
            let session = try worker.newSession()
            for chunk in worker.pageOuts(session) where Clock.now() < deadline {
                let start = Clock.now()
                let result = try worker.client.put([chunk], acknowledgement: acknowledgement, encoding: encoding)[0]
                try record(result, start, &side)
            }
            try worker.client.drop(session: session)
        }
        return side
    }

    private func pageIn(_ worker: Worker, _ session: UInt64, until deadline: UInt64) throws -> Side {
        var side = Side()
        while Clock.now() < deadline {
            for chunk in worker.pageIns(session) where Clock.now() < deadline {
                let start = Clock.now()
                try record(try worker.client.get([chunk])[0], start, &side)
            }
        }
        return side
    }

    /// A refusal because of a full store or a full queue is counted; any other failure ends the load.
    private func record<Value>(_ result: Result<Value, LarderError>, _ start: UInt64, _ side: inout Side) throws {
        switch result {
        case .success: side.latencies.record(nanoseconds: Clock.now() - start)
        case .failure(let error) where error.code == .busy || error.code == .full: side.refused += 1
        case .failure(let error): throw error
        }
    }
}
