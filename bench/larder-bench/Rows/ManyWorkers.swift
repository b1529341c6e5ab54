import LarderSystem

/// Page-in by 64 workers together against page-in by one: real state, each worker with its own connection and arena.
enum ManyWorkers: RowGroup {
    static let names = ["page_in_64_workers_over_one", "page_in_64_workers", "page_in_1_worker"]
    static let workers = 64
    /// Rounds in which one worker and all have their turn.
    private static let rounds = 3
    private static let secondsPerTurn = 1.5

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        try bench.withDaemon { daemon, _ in
            let workers = try (0..<Self.workers).map { _ in try Worker(daemon, bench.real) }
            let session = try workers[0].pageOut()
            try workers.forEach { try $0.verify(session) }
            let times = try Stopwatch.inTurn(
                rounds, { try pageIn(workers, session, Self.workers) }, { try pageIn(workers, session, 1) },
                { try pageInEverywhere(workers, session) })
            try workers.forEach { try $0.compare() }
            let bytes = bench.real.bytes.count
            return [
                .ratio(
                    names[0], of: times[0], to: times[1], goal: 0.9, bytes: bytes,
                    detail: [
                        "seconds": "\(secondsPerTurn)", "cores": "\(bench.cores)",
                        "ratio_to_one_client_at_a_time_over_all_arenas": formatted(times[2] / times[0], 3),
                    ]),
                .speed(names[1], bytes: bytes, time: times[0]), .speed(names[2], bytes: bytes, time: times[1]),
            ]
        }
    }

    /// The first `count` workers page in for a while. Returns the nanoseconds for each page-in of the set, all together.
    private static func pageIn(_ workers: [Worker], _ session: UInt64, _ count: Int) throws -> Double {
        let passes = Monitor(0)
        let deadline = Clock.deadline(seconds: secondsPerTurn)
        let time = try Threads.run(count) { index in
            var own = 0
            repeat {
                try workers[index].pageIn(from: session)
                own += 1
            } while Clock.now() < deadline
            passes.withLock { $0 += own }
        }
        return time / Double(passes.withLock { $0 })
    }

    /// One worker after another pages in, alone: the memory of 64 with the load of one.
    private static func pageInEverywhere(_ workers: [Worker], _ session: UInt64) throws -> Double {
        try Stopwatch.time { for worker in workers { try worker.pageIn(from: session) } } / Double(workers.count)
    }
}
