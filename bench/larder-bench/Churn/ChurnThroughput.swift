import LarderModel
import LarderSystem

/// Page-outs at steady state with the cap reached, against page-outs into the same store while it was empty; and what the
/// files, the sweep and the disk did meanwhile.
struct ChurnThroughput {
    let options: ChurnOptions
    let set: ChunkSet

    private struct Round {
        /// Into an empty store, whose file grows.
        let empty: PutTotals
        /// With the cap reached.
        let churn: PutTotals
        /// Into the same file, once all was dropped: nothing grows and nothing is swept.
        let roomy: PutTotals
        let fileOverLive: Double
        let overshoot: Int
        let samples: Int
        let writeAmplification: Double
        let deviceAmplification: Double
        let evicted: UInt64
        /// Commits for each batch that was put: what makes room commits too.
        let commitsPerBatch: Double
        let pageIns: (all: Int, missed: Int)
    }

    func measure() throws -> [Measurement] {
        let rounds = try (0..<options.rounds).map { _ in
            try ChurnStore.with(capBytes: options.capBytes, options.daemonArguments) { try round($0) }
        }
        func median(_ value: (Round) -> Double) -> Double { rounds.map(value).sorted()[rounds.count / 2] }
        func worst(_ value: (Round) -> Double) -> Double { rounds.map(value).max() ?? 0 }
        var detail = options.detail(set)
        detail["empty_gb_per_s"] = formatted(median { $0.empty.speed }, 3)
        detail["churn_gb_per_s"] = formatted(median { $0.churn.speed }, 3)
        detail["roomy_gb_per_s"] = formatted(median { $0.roomy.speed }, 3)
        detail["refused"] = "\(rounds.reduce(0) { $0 + $1.empty.refused + $1.churn.refused + $1.roomy.refused })"
        detail["sessions_paged_in"] = "\(rounds.reduce(0) { $0 + $1.pageIns.all })"
        detail["of_them_evicted_in_part"] = "\(rounds.reduce(0) { $0 + $1.pageIns.missed })"
        detail["commits_a_batch"] = formatted(median { $0.commitsPerBatch }, 2)
        detail["evicted_chunks"] = "\(rounds.reduce(0) { $0 + $1.evicted })"
        detail["put_over_cap"] = formatted(median { Double($0.churn.storedBytes) } / Double(options.capBytes), 2)
        detail["raw_over_stored"] = formatted(
            median { Double($0.churn.rawBytes) / Double($0.churn.storedBytes) }, 3)
        detail["size_samples"] = "\(rounds.reduce(0) { $0 + $1.samples })"
        return [
            Measurement(
                "churn_throughput", median { $0.churn.speed / $0.empty.speed }, unit: "ratio", goal: 0.6,
                detail: detail),
            Measurement(
                "file_over_live", worst { $0.fileOverLive }, unit: "ratio", goal: 1.10, better: .lower,
                detail: ["live": "stored bytes of the chunks of all sessions, once the sweep rests"]),
            Measurement(
                "cap_overshoot_bytes", worst { Double($0.overshoot) }, unit: "bytes", goal: 0, better: .lower,
                detail: detail),
            Measurement(
                "write_amplification", worst { $0.writeAmplification }, unit: "ratio", better: .lower,
                detail: detail.merging(["load": "churn"]) { $1 }),
            Measurement(
                "churn_device_bytes_over_put", worst { $0.deviceAmplification }, unit: "ratio", better: .lower,
                detail: ["bytes": "wchar of /proc/PID/io: what the daemon wrote to files"]),
            Measurement(
                "churn_over_roomy_store", median { $0.churn.speed / $0.roomy.speed }, unit: "ratio", goal: 0.6,
                detail: detail),
        ]
    }

    private func round(_ store: ChurnStore) throws -> Round {
        let load = try ChurnLoad(store.daemon, set, writers: options.writers)
        let usable = Int(try store.stat()["usable_bytes"])
        let empty = try load.run(storedBytes: usable * 85 / 100)
        // Over the watermark, and half the store once more, so that what is measured has been swept before.
        _ = try load.run(storedBytes: usable * 65 / 100)
        let before = try store.stat()
        let device = store.deviceBytes
        let churn = try load.run(storedBytes: usable * 3 / 2)
        let after = try store.stat()
        let deviceBytes = store.deviceBytes - device
        func grown(_ name: String) -> Double { Double(after[name] - before[name]) }
        try store.settle()
        let fileOverLive = Double(try store.stat()["file_bytes"]) / Double(try store.liveBytes())
        let files = store.files
        let pageIns = load.pageIns
        try load.compare()
        try load.dropAll()
        try store.settle()
        let roomy = try load.run(storedBytes: usable * 85 / 100)
        return Round(
            empty: empty, churn: churn, roomy: roomy, fileOverLive: fileOverLive,
            overshoot: max(0, files.largest - store.capBytes), samples: files.samples,
            writeAmplification: (grown("put_bytes") + grown("moved_bytes")) / grown("put_bytes"),
            deviceAmplification: Double(deviceBytes) / grown("put_bytes"),
            evicted: after["evicted_cold_chunks"] - before["evicted_cold_chunks"],
            commitsPerBatch: grown("commits") / (Double(churn.rawBytes) / Double(ChurnWriter.batch << 20)),
            pageIns: pageIns)
    }
}
