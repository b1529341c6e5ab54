import LarderClient
import LarderSystem

/// A fork at the end, and a truncate that hides a tenth, of sessions of 1, 100 and 10,000 chunks.
enum ForkLengths {
    private static let lengths = [1, 100, 10_000]
    private static let tokens = 8

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        let set = ChunkSet(valuesOf: bench.state, chunks: lengths.last!, layers: 1, tokens: tokens)
        return try bench.withDaemon { daemon, _ in
            let worker = try Worker(daemon, set)
            let sessions = try lengths.map { length in
                let session = try worker.newSession()
                try worker.pageOut(0..<length, to: session)
                return session
            }
            let forks = try forks(worker, sessions, bench.runs)
            let truncates = try truncates(worker, sessions, bench.runs / 2)
            return rows("fork", forks, set, bench.runs) + rows("truncate", truncates, set, bench.runs / 2)
        }
    }

    private static func forks(_ worker: Worker, _ sessions: [UInt64], _ runs: Int) throws -> [Double] {
        var names = ForkNames()
        return try Stopwatch.inTurn(
            runs,
            zip(lengths, sessions).map { length, session in
                let end = worker.end(length - 1)
                return {
                    let name = names.take()
                    return try Stopwatch.time { _ = try worker.client.fork(session: session, offset: end, name: name) }
                }
            })
    }

    private static func truncates(_ worker: Worker, _ sessions: [UInt64], _ runs: Int) throws -> [Double] {
        try Stopwatch.inTurn(
            runs,
            zip(lengths, sessions).map { length, session in
                let hidden = length - max(1, length / 10)..<length
                return {
                    try worker.awaitReaper()
                    let offset = worker.set.chunks[hidden.lowerBound].offset
                    let time = try Stopwatch.time { try worker.client.truncate(session: session, offset: offset) }
                    try worker.pageOut(hidden, to: session)
                    return time
                }
            })
    }

    private static func rows(_ what: String, _ times: [Double], _ set: ChunkSet, _ runs: Int) -> [Measurement] {
        let detail = ["runs": "\(runs)", "chunk_bytes": "\(set.chunks[0].range.count)"]
        let ratio = Measurement(
            "\(what)_10000_chunks_over_1", times[2] / times[0], unit: "ratio", goal: 2, better: .lower, detail: detail)
        return [ratio]
            + zip(lengths, times).map { length, time in
                Measurement("\(what)_\(length)_chunks", time / 1e3, unit: "us", better: .lower, detail: detail)
            }
    }
}
