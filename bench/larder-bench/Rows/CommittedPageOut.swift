import LarderModel

/// Page-out, acknowledged as committed, of chunks that nothing shrinks, each time to a new session; against writing the same
/// bytes to a new file of the same file system, up to fdatasync(2).
enum CommittedPageOut: RowGroup {
    static let names = [
        "page_out_committed_over_disk", "page_out_committed_raw_1mib", "disk_write_new_file",
        "page_out_committed_cascade", "page_out_durable_raw_1mib",
    ]

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        let set = ChunkSet(incompressible: 128, chunkBytes: 1 << 20)
        let bytes = set.bytes.count
        return try bench.withDaemon { daemon, directory in
            let disk = Disk(in: directory)
            let random = try Worker(daemon, set)
            let real = try Worker(daemon, bench.real)
            let times = try Stopwatch.inTurn(
                bench.longRuns, { try pageOut(random) }, { try disk.writeNewFile(set.bytes) }, { try pageOut(real) },
                { try pageOut(random, .durable) })
            let session = try random.pageOut()
            try random.verify(session)
            return [
                .ratio(
                    names[0], of: times[0], to: times[1], goal: 0.70, bytes: bytes,
                    detail: ["runs": "\(bench.longRuns)", "chunk_bytes": "\(1 << 20)", "encoding": "auto"]),
                .speed(names[1], bytes: bytes, time: times[0]), .speed(names[2], bytes: bytes, time: times[1]),
                .speed(names[3], bytes: bench.real.bytes.count, time: times[2]),
                .speed(names[4], bytes: bytes, time: times[3]),
            ]
        }
    }

    /// Nanoseconds of a page-out to a new session, which is gone again afterwards.
    private static func pageOut(_ worker: Worker, _ acknowledgement: Acknowledgement = .committed) throws -> Double {
        let session = try worker.newSession()
        let time = try Stopwatch.time { try worker.pageOut(to: session, acknowledgement: acknowledgement) }
        try worker.settle(dropping: session)
        return time
    }
}
