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
        try load.dropAll()
        try store.settle()
        let reader = try ChurnReader(store.daemon, set)
        _ = try reader.run(seconds: 0.5)
        let swept = try store.stat()["swept_bytes"]
        reads.pacedWithRoom.add(try load.run(rate: options.rate, beside: reader, seconds: options.seconds).reads)
        reads.fullWithRoom.add(try load.run(rate: nil, beside: reader, seconds: options.seconds / 4).reads)
        guard try store.stat()["swept_bytes"] == swept else {
            throw ValidationError("the store was swept where it should have room; give a larger --cap or lower --rate")
        }
        try store.settle()
        reads.idle.add(try reader.run(seconds: options.seconds))
        let room = usable - Int(try store.stat()["used_bytes"])
        _ = try load.run(storedBytes: room + usable / 4)
        let before = try store.stat()["swept_bytes"]
        reads.pacedAtCap.add(try load.run(rate: options.rate, beside: reader, seconds: options.seconds).reads)
        let after = try store.stat()["swept_bytes"]
        guard after > before else { throw ValidationError("the compactor did not run while it was measured") }
        reads.sweptBytes += after - before
        reads.fullAtCap.add(try load.run(rate: nil, beside: reader, seconds: options.seconds / 4).reads)
        reads.misses += reader.misses
        try reader.compare()
    }
}
