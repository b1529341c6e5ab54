import LarderModel

/// Page-in of chunks that are stored as they are, warm, against copying as many bytes to the same arena.
enum RawPageIn: RowGroup {
    static let names = ["page_in_raw_1mib_over_memcpy", "page_in_raw_1mib", "memcpy_to_arena"]

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        let set = ChunkSet(incompressible: 32, chunkBytes: 1 << 20)
        let bytes = set.bytes.count
        return try bench.withDaemon { daemon, _ in
            let worker = try Worker(daemon, set)
            let session = try worker.pageOut(encoding: .raw)
            try worker.verify(session)
            let times = try Stopwatch.inTurn(
                bench.runs, { try Stopwatch.time { try worker.pageIn(from: session) } },
                { Stopwatch.time { worker.copyIn() } })
            try worker.verify(session)
            return [
                .ratio(names[0], of: times[0], to: times[1], goal: 0.85, bytes: bytes),
                .speed(names[1], bytes: bytes, time: times[0]), .speed(names[2], bytes: bytes, time: times[1]),
            ]
        }
    }
}
