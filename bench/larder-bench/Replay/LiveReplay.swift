import ArgumentParser
import LarderClient
import LarderPolicy
import LarderSystem
import LarderWire

/// A trace against a daemon whose cap is as much as a share of the trace's blocks takes.
struct LiveReplay {
    /// What one size came to.
    struct Outcome {
        let fraction: Double
        let chunkBytes: Int
        let totals: ReplayClient.Totals
        /// Blocks in the store: the most that were seen, their mean once it was full, and at the end.
        let residentMost: Int
        let residentMean: Double
        let residentEnd: Int
        let seconds: Double
        /// What the daemon counted from the first request to the last.
        let counted: [String: UInt64]

        /// Bytes written for each byte put.
        var writeAmplification: Double {
            let put = Double(counted["put_bytes"] ?? 0)
            return put == 0 ? 1 : (put + Double(counted["moved_bytes"] ?? 0)) / put
        }
    }

    let trace: RequestTrace
    /// What a block takes in the store; nil for what suits the size.
    let chunkBytes: Int?
    let daemonArguments: [String]
    /// Requests from one look at the daemon's counters to the next.
    static let lookEvery = 20

    /// Starts a daemon whose store has room for that share of the trace's different blocks, and replays the trace.
    func run(fraction: Double) throws -> Outcome {
        let blocks = Int((fraction * Double(trace.uniqueBlocks)).rounded(.up))
        // Small caches hold larger chunks, so that the index of all sessions weighs little.
        let chunkBytes = chunkBytes ?? (blocks < 5_000 ? 128 << 10 : blocks < 15_000 ? 64 << 10 : 32 << 10)
        let directory = try FileSystem.makeTemporaryDirectory(prefix: "larder-replay-")
        defer { FileSystem.removeTree(directory) }
        let capacity = ReplayCapacity(blocks: blocks, chunkBytes: chunkBytes, requests: trace.requests.count)
        let arguments = ["--cap", "\(capacity.capBytes)", "--max-connections", "\(ReplayCapacity.connections)"]
        let daemon = DaemonProcess(directory: directory, arguments: arguments + daemonArguments)
        defer { daemon.stop() }
        return try run(try daemon.start(name: "larder-replay"), fraction: fraction, chunkBytes: chunkBytes)
    }

    /// Replays the trace against a daemon as it is.
    func run(_ client: Client, fraction: Double, chunkBytes: Int) throws -> Outcome {
        let most = trace.requests.map(\.blocks.count).max() ?? 1
        let worker = try ReplayClient(client, chunkBytes: chunkBytes, blocks: most)
        let before = try client.stat()
        var seen: [Int] = []
        let start = Clock.now()
        for (index, request) in trace.requests.enumerated() {
            try worker.serve(request)
            if index % Self.lookEvery == 0 { seen.append(Int(try client.stat()["blobs"])) }
        }
        let seconds = Double(Clock.now() - start) / 1e9
        let after = try client.stat()
        let largest = seen.max() ?? 0
        // From the first time that the store was nearly as full as it ever was.
        let full = seen.drop { Double($0) < 0.95 * Double(largest) }
        var counted: [String: UInt64] = [:]
        for counter in after.counters where counter.value >= before[counter.name] {
            counted[counter.name] = counter.value - before[counter.name]
        }
        return Outcome(
            fraction: fraction, chunkBytes: chunkBytes, totals: worker.totals, residentMost: largest,
            residentMean: Double(full.reduce(0, +)) / Double(max(1, full.count)),
            residentEnd: Int(after["blobs"]), seconds: seconds, counted: counted)
    }
}

/// The cap with which a store holds so many blocks and no more.
struct ReplayCapacity {
    static let connections = 16

    let capBytes: Int

    /// What the index takes of each resident block, and of each session that is remembered without a chunk.
    private static let blockIndexBytes = 420
    private static let sessionIndexBytes = 500

    init(blocks: Int, chunkBytes: Int, requests: Int) {
        // Sessions are never dropped here: at the start their part is empty, and then more blocks fit than at the end. What
        // counts is that there are never more than `blocks`, so half of the part that sessions will take is left out.
        let sessions = min(requests, blocks) * Self.sessionIndexBytes / 2
        let pages = (blocks * (chunkBytes + Self.blockIndexBytes) + sessions) / 4_096
        // The store keeps to its high watermark, and that much of its map for copies on write (Shard.usablePages).
        let usable = Int(Double(pages) / Self.highWatermark) + 64
        var map = usable
        while map - max(map / 33, min(map / 10, 1_024)) < usable { map += 1 + map / 1_000 }
        capBytes = map * 4_096 + 32_768
    }

    private static let highWatermark = 0.98
}
