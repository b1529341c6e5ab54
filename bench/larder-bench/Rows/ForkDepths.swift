import ArgumentParser
import LarderClient
import LarderSystem

/// A fork of a session that is 1, 10, 100 and 1,000 forks deep, each of which has put a chunk; and reading a whole session
/// of 1,001 chunks, 1 fork and 1,000 forks deep.
enum ForkDepths {
    private static let depths = [1, 10, 100, 1_000]

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        // 64 KiB a chunk: a page of 16 tokens of a small model.
        let set = ChunkSet(valuesOf: bench.state, chunks: depths.last! + 1, layers: 4, tokens: 16)
        return try bench.withDaemon { daemon, _ in
            let worker = try Worker(daemon, set)
            var names = ForkNames()
            // The chain: each session puts one chunk behind those of its parent.
            var session = try worker.newSession()
            try worker.pageOut(0..<1, to: session)
            var chain: [Int: UInt64] = [:]
            for depth in 1...depths.last! {
                session = try worker.client.fork(session: session, offset: worker.end(depth - 1), name: names.take())
                try worker.pageOut(depth..<depth + 1, to: session)
                chain[depth] = session
            }
            let times = try Stopwatch.inTurn(
                bench.runs,
                depths.map { depth in
                    let end = worker.end(depth)
                    return {
                        let name = names.take()
                        return try Stopwatch.time {
                            _ = try worker.client.fork(session: chain[depth]!, offset: end, name: name)
                        }
                    }
                })
            let detail = ["runs": "\(bench.runs)", "chunk_bytes": "\(set.chunks[0].range.count)"]
            let ratio = Measurement(
                "fork_1000_deep_over_1", times[3] / times[0], unit: "ratio", better: .lower, detail: detail)
            let absolute = zip(depths, times).map { depth, time in
                Measurement("fork_\(depth)_deep", time / 1e3, unit: "us", better: .lower, detail: detail)
            }
            return try read(worker, deep: session, max(10, bench.runs / 10)) + [ratio] + absolute
        }
    }

    private static func read(_ worker: Worker, deep: UInt64, _ runs: Int) throws -> [Measurement] {
        let end = worker.end(depths.last!)
        let flat = try worker.client.fork(session: try worker.pageOut(), offset: end, name: "flat")
        func side(_ session: UInt64) -> () throws -> Double {
            return {
                try Stopwatch.time {
                    let plan = try worker.client.resume(session: session)
                    guard plan.offset == end, plan.chunks.count == worker.set.chunks.count else {
                        throw ValidationError("session \(session) resumes at \(plan.offset), not \(end)")
                    }
                    try worker.pageIn(from: session)
                }
            }
        }
        let times = try Stopwatch.inTurn(runs, [side(flat), side(deep)])
        for session in [flat, deep] { try worker.verify(session) }
        let detail = [
            "runs": "\(runs)", "chunks": "\(worker.set.chunks.count)", "bytes": "\(worker.set.bytes.count)",
        ]
        return [
            Measurement(
                "read_1000_deep_over_1", times[1] / times[0], unit: "ratio", goal: 2, better: .lower, detail: detail),
            Measurement("read_1_deep", times[0] / 1e6, unit: "ms", better: .lower, detail: detail),
            Measurement("read_1000_deep", times[1] / 1e6, unit: "ms", better: .lower, detail: detail),
        ]
    }
}
