import LarderCodec

/// Page-in of real bf16 state, exactly encoded, warm: against the codec in this process on all cores, which decodes to the
/// same arena, and against copying the raw bytes there.
enum CascadePageIn: RowGroup {
    static let names = [
        "page_in_cascade_over_codec", "page_in_cascade_over_memcpy", "page_in_cascade", "page_in_cascade_all_cores",
        "codec_decode_all_cores", "codec_decode_one_core",
    ]
    /// Raw bytes of a batch, in copies of the state: out of cache, and so many that waking threads weighs little.
    private static let batchBytes = 48 << 20
    /// Passes of a timed turn.
    private static let passes = 2

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        let set = ChunkSet(repeating: bench.real, byteCount: batchBytes)
        let encoded = EncodedSet(set)
        return try bench.withDaemon { daemon, _ in
            let workers = try (0..<bench.cores).map { _ in try Worker(daemon, set) }
            let worker = workers[0]
            let session = try worker.pageOut()
            let scratch = CodecScratch()
            try verify(workers, session, encoded, bench.cores)
            let times = try Stopwatch.inTurn(
                bench.runs,
                { try onePass { try worker.pageIn(from: session) } },
                { try encoded.decode(to: worker.arena.bytes, threads: bench.cores, passes: passes) },
                { onePass { worker.copyIn() } },
                {
                    try Threads.run(workers.count) { index in
                        for _ in 0..<passes { try workers[index].pageIn(from: session) }
                    } / Double(passes * workers.count)
                }, { try onePass { try encoded.decode(to: worker.arena.bytes.baseAddress!, scratch) } })
            try verify(workers, session, encoded, bench.cores)
            return rows(times, set.bytes.count, encoded, bench.cores)
        }
    }

    private static func rows(_ times: [Double], _ bytes: Int, _ encoded: EncodedSet, _ cores: Int) -> [Measurement] {
        let detail = [
            "stored_bytes": "\(encoded.storedBytes)", "cores": "\(cores)",
            "ratio_with_one_worker": formatted(times[1] / times[0], 3),
        ]
        return [
            // All cores: a worker for each, as the codec has a thread for each.
            .ratio(names[0], of: times[3], to: times[1], goal: 0.90, bytes: bytes, detail: detail),
            .ratio(names[1], of: times[0], to: times[2], goal: 0.60, bytes: bytes, detail: ["workers": "1"]),
            .speed(names[2], bytes: bytes, time: times[0]),
            .speed(names[3], bytes: bytes, time: times[3], detail: ["workers": "\(cores)"]),
            .speed(names[4], bytes: bytes, time: times[1]), .speed(names[5], bytes: bytes, time: times[4]),
        ]
    }

    private static func onePass(_ body: () throws -> Void) rethrows -> Double {
        try Stopwatch.time { for _ in 0..<passes { try body() } } / Double(passes)
    }

    private static func verify(_ workers: [Worker], _ session: UInt64, _ encoded: EncodedSet, _ cores: Int) throws {
        for worker in workers { try worker.verify(session) }
        workers[0].arena.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        _ = try encoded.decode(to: workers[0].arena.bytes, threads: cores, passes: 1)
        try workers[0].compare()
    }
}
