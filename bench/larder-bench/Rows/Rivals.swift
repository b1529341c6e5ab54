import ArgumentParser
import LarderSystem

/// Page-out and page-in of real bf16 state against SET and GET of the same raw bytes on a Redis without persistence.
///
/// Each burst of page-outs fits in half of the daemon's queue: what is timed is the acknowledgement, not the disk.
enum Rivals: RowGroup {
    static let names = [
        "page_out_accepted_over_redis", "page_in_over_redis", "page_out_accepted_cascade", "redis_set", "redis_get",
    ]

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        try bench.withDaemon { daemon, directory in
            guard let redis = try RedisProcess.start(in: directory) else { return [] }
            let real = try Contest(daemon, redis, bench.real)
            let raw = try Contest(daemon, redis, ChunkSet(incompressible: 16, chunkBytes: 1 << 20))
            let (out, outRaw) = (try real.pageOuts(bench.runs), try raw.pageOuts(bench.runs))
            let (page, pageRaw) = (try real.pageIns(bench.runs), try raw.pageIns(bench.runs))
            let bytes = bench.real.bytes.count
            return [
                .ratio(
                    names[0], of: out.larder, to: out.redis, goal: 3, bytes: bytes, detail: raw.detail(outRaw)),
                .ratio(names[1], of: page.larder, to: page.redis, goal: 4, bytes: bytes, detail: raw.detail(pageRaw)),
                .speed(names[2], bytes: bytes, time: out.larder), .speed(names[3], bytes: bytes, time: out.redis),
                .speed(names[4], bytes: bytes, time: page.redis),
            ]
        }
    }
}

/// The daemon and Redis with one chunk set.
private struct Contest {
    typealias Times = (larder: Double, redis: Double)

    private let worker: Worker
    private let batch: RedisBatch
    private let client: RedisClient

    init(_ daemon: DaemonProcess, _ redis: RedisProcess, _ set: ChunkSet) throws {
        worker = try Worker(daemon, set)
        batch = RedisBatch(set)
        client = try redis.connect()
    }

    /// Medians of a burst: of page-outs to a new session, and of SETs of keys that are there.
    func pageOuts(_ runs: Int) throws -> Times {
        let times = try Stopwatch.inTurn(
            runs,
            {
                let session = try worker.newSession()
                let time = try Stopwatch.time { try worker.pageOut(to: session, acknowledgement: .accepted) }
                try worker.settle(dropping: session)
                return time
            }, { try Stopwatch.time { try client.set(batch) } })
        return (times[0], times[1])
    }

    /// Medians of page-ins to an arena and of GETs to a buffer, both compared with what was put.
    func pageIns(_ runs: Int) throws -> Times {
        let session = try worker.pageOut()
        let set = worker.set
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: set.bytes.count, alignment: 4_096)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        let times = try Stopwatch.inTurn(
            runs, { try Stopwatch.time { try worker.pageIn(from: session) } },
            { try Stopwatch.time { try client.get(batch, to: buffer.baseAddress!) } })
        guard buffer.elementsEqual(set.bytes) else { throw ValidationError("Redis returned other bytes than were set") }
        try worker.verify(session)
        try worker.settle(dropping: session)
        return (times[0], times[1])
    }

    /// The same with chunks of 1 MiB that nothing shrinks, for a detail.
    func detail(_ times: Times) -> [String: String] {
        let bytes = Double(worker.set.bytes.count)
        return [
            "raw_1mib_ratio": formatted(times.redis / times.larder, 3),
            "raw_1mib_gb_per_s": formatted(bytes / times.larder, 3),
            "raw_1mib_redis_gb_per_s": formatted(bytes / times.redis, 3),
        ]
    }
}
