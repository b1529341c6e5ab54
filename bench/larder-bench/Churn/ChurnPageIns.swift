import ArgumentParser
import LarderModel
import LarderSystem

/// How long page-ins take while page-outs make the compactor run, against page-ins when nothing else is done, and while the
/// same page-outs find room.
struct ChurnPageIns {
    let options: ChurnOptions
    let set: ChunkSet

    /// Page-ins of all rounds, by what happened beside them.
    private struct Reads {
        var idle = Latencies()
        /// Page-outs at the stated rate, with room; and at the cap.
        var pacedWithRoom = Latencies()
        var pacedAtCap = Latencies()
        /// Page-outs as fast as they go, with room; and at the cap.
        var fullWithRoom = Latencies()
        var fullAtCap = Latencies()
        var misses = 0
        var sweptBytes: UInt64 = 0
    }

    func measure() throws -> [Measurement] {
        var reads = Reads()
        for _ in 0..<options.rounds {
            try ChurnStore.with(capBytes: options.capBytes, options.daemonArguments) { try round($0, &reads) }
        }
        func over(_ name: String, _ one: Latencies, _ base: Latencies, goal: Double? = nil) -> Measurement {
            Measurement(
                name, one.percentile(99) / base.percentile(99), unit: "ratio", goal: goal, better: .lower,
                detail: [
                    "p50_us": formatted(one.percentile(50), 0), "p99_us": formatted(one.percentile(99), 0),
                    "max_us": formatted(one.maximum, 0), "base_p50_us": formatted(base.percentile(50), 0),
                    "base_p99_us": formatted(base.percentile(99), 0), "base_max_us": formatted(base.maximum, 0),
                    "page_ins": "\(one.count)", "base_page_ins": "\(base.count)", "misses": "\(reads.misses)",
                    "page_out_mib_per_s": "\(options.rate >> 20)", "swept_bytes": "\(reads.sweptBytes)",
                    "milliseconds_between_page_ins": "\(ChurnReader.interval)", "writers": "\(options.writers)",
                ])
        }
        return [
            over("page_in_p99_under_compaction", reads.pacedAtCap, reads.idle, goal: 2),
            over("page_in_p99_under_page_out", reads.pacedWithRoom, reads.idle),
            over("page_in_p99_compaction_alone", reads.pacedAtCap, reads.pacedWithRoom),
            over("page_in_p99_under_compaction_full_load", reads.fullAtCap, reads.idle),
            over("page_in_p99_under_page_out_full_load", reads.fullWithRoom, reads.idle),
            over("page_in_p99_compaction_alone_full_load", reads.fullAtCap, reads.fullWithRoom),
        ]
    }

    private func round(_ store: ChurnStore, _ reads: inout Reads) throws {
        let load = try ChurnLoad(store.daemon, set, writers: options.writers)
        let usable = Int(try store.stat()["usable_bytes"])
        // The file grows first: what is compared must not differ in that.
        _ = try load.run(storedBytes: usable * 85 / 100)
        reads.pacedWithRoom.add(try withRoom(store, load, rate: options.rate, seconds: options.seconds))
        // As much as a store of this size has room for.
        for _ in 0..<2 {
            reads.fullWithRoom.add(try withRoom(store, load, rate: nil, seconds: options.seconds / 10))
        }
        reads.idle.add(try emptied(store, load).run(seconds: options.seconds))
        _ = try load.run(storedBytes: usable * 5 / 4)
        let reader = try ChurnReader(store.daemon, set)
        _ = try reader.run(seconds: 0.2)
        let before = try store.stat()["swept_bytes"]
        reads.pacedAtCap.add(try load.run(rate: options.rate, beside: reader, seconds: options.seconds).reads)
        let after = try store.stat()["swept_bytes"]
        guard after > before else { throw ValidationError("the compactor did not run while it was measured") }
        reads.sweptBytes += after - before
        reads.fullAtCap.add(try load.run(rate: nil, beside: reader, seconds: options.seconds / 5).reads)
        reads.misses += reader.misses
        // What is read all the time has to stay, or page-ins of nothing are measured.
        guard UInt64(reader.misses) < reads.pacedAtCap.count / 100 else {
            throw ValidationError("\(reader.misses) page-ins found that their chunk, which is in use, was evicted")
        }
        try reader.compare()
    }

    /// Page-ins beside page-outs to a store that was emptied, but whose file has its size.
    private func withRoom(_ store: ChurnStore, _ load: ChurnLoad, rate: Int?, seconds: Double) throws -> Latencies {
        let reader = try emptied(store, load)
        let swept = try store.stat()["swept_bytes"]
        let reads = try load.run(rate: rate, beside: reader, seconds: seconds).reads
        guard try store.stat()["swept_bytes"] == swept else {
            throw ValidationError(
                "the store was swept where it should have room; give a larger --cap, fewer --seconds or a lower --rate")
        }
        return reads
    }

    /// Drops all, and pages a session out that is then read.
    private func emptied(_ store: ChurnStore, _ load: ChurnLoad) throws -> ChurnReader {
        try load.dropAll()
        try store.settle()
        let reader = try ChurnReader(store.daemon, set)
        _ = try reader.run(seconds: 0.2)
        return reader
    }
}
