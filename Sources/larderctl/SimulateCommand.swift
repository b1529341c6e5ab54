import ArgumentParser
import Foundation
import LarderClient
import LarderModel
import LarderPolicy
import LarderSystem

/// What another size of the store would give, by a trace that the daemon recorded.
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What other sizes of the store would have given, by a recorded trace.",
        discussion: """
            Replays a trace, as record_trace makes them, in memory against the daemon's eviction at each size. A \
            prompt's tokens count as found if they and all before them are held. What the daemon's cap is and what a \
            token takes is asked of the daemon, unless both are given.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Option(help: "The trace: one JSON object a line with input_length and hash_ids, one id for 512 tokens.")
    var trace: String
    @Option(help: "Sizes, separated by commas: multiples of the cap, or bytes such as 20GiB.")
    var sizes = "0.5x,1x,2x,4x"
    @Option(help: "The cap that multiples are of. Default: the daemon's.")
    var cap: String?
    @Option(help: "Bytes that a token takes in the store. Default: the mean over the daemon's latest sessions.")
    var tokenBytes: Double?

    /// Part of a cap that chunks take: the rest is what LMDB and the index need, and room between the watermarks.
    private static let chunkShare = 0.93

    struct Report: CommandReport {
        let requests: Int
        let promptTokens: UInt64
        let uniqueBlocks: Int
        let tokenBytes: Double
        let rows: [Row]

        func printOut() {
            print(
                "\(requests) turns of \(promptTokens) prompt tokens, \(uniqueBlocks) different blocks; a token takes "
                    + "\(Format.bytes(UInt64(tokenBytes)))\n")
            var table = Table("size", ">disk", ">tokens held", ">tokens found", ">of prompts", ">writes per put")
            for row in rows {
                table.add(
                    row.size, Format.bytes(row.bytes), "\(UInt64(row.blocks) * RequestTrace.blockTokens)",
                    "\(row.foundTokens)", String(format: "%.1f %%", 100 * row.foundShare),
                    String(format: "%.2f", row.writeAmplification))
            }
            table.printOut()
        }
    }

    struct Row: Encodable {
        let size: String
        let bytes: UInt64
        let blocks: Int
        let foundTokens: UInt64
        let foundShare: Double
        let writeAmplification: Double
    }

    func run() throws {
        let requests = try load()
        if let cap, let tokenBytes {
            return try connection.output.show(
                try Failure.reported { try report(requests, cap: try Quantity.bytes(cap), tokenBytes: tokenBytes) })
        }
        try connection.output.show(
            try connection.withClient { client in
                let cap = try self.cap.map { try Quantity.bytes($0) } ?? Int(client.stat()["cap_bytes"])
                let tokenBytes = try self.tokenBytes ?? Self.meanTokenBytes(client)
                return try report(requests, cap: cap, tokenBytes: tokenBytes)
            })
    }

    private func load() throws -> RequestTrace {
        let bytes: [UInt8]
        do { bytes = try FileSystem.read(trace, limit: RequestTrace.limitBytes) } catch {
            throw ValidationError("the trace cannot be read: \(error)")
        }
        // Turns are written when they end, but asked for their state when they began.
        do { return try RequestTrace(bytes, name: trace).orderedByTime } catch { throw ValidationError(error.message) }
    }

    /// Stored bytes of a token: of all chunks of the sessions that changed last, by the tokens of their longest component.
    private static func meanTokenBytes(_ client: Client) throws -> Double {
        var bytes: UInt64 = 0
        var tokens: UInt64 = 0
        let sessions = try client.sessions().filter { $0.chunks > 0 }
        for session in sessions.sorted(by: { $0.changedSeconds > $1.changedSeconds }).prefix(32) {
            let chunks = try client.chunks(session: session.session)
            bytes += chunks.reduce(0) { $0 + $1.storedBytes }
            let tracks = Dictionary(grouping: chunks) { UInt32($0.name.rank) << 16 | UInt32($0.name.component) }
            tokens += tracks.values.map { $0.reduce(0) { $0 + UInt64($1.tokens) } }.max() ?? 0
        }
        guard tokens > 0 else {
            throw LarderError(
                .invalidArgument, "the daemon holds no chunks to tell what a token takes; give --token-bytes")
        }
        return Double(bytes) / Double(tokens)
    }

    private func report(_ requests: RequestTrace, cap: Int, tokenBytes: Double) throws -> Report {
        guard tokenBytes > 0, tokenBytes.isFinite else {
            throw ValidationError("--token-bytes \(tokenBytes) is not a positive number")
        }
        let rows = try sizes.split(separator: ",").map { size in
            try row(requests, String(size), bytes: Self.bytes(String(size), cap: cap), tokenBytes)
        }
        return Report(
            requests: requests.requests.count, promptTokens: requests.requests.reduce(0) { $0 + $1.length },
            uniqueBlocks: requests.uniqueBlocks, tokenBytes: tokenBytes, rows: rows)
    }

    private func row(_ requests: RequestTrace, _ size: String, bytes: Int, _ tokenBytes: Double) -> Row {
        let blocks = Int(Double(bytes) * Self.chunkShare / (tokenBytes * Double(RequestTrace.blockTokens)))
        var cache = SimulatedPolicy.sweep.cache(
            capacity: max(1, blocks), trace: requests, SweepRule.Configuration())
        let outcome = Simulator.run(requests, &cache)
        return Row(
            size: size, bytes: UInt64(bytes), blocks: blocks, foundTokens: outcome.hitTokens,
            foundShare: outcome.tokenHitRatio, writeAmplification: outcome.writeAmplification)
    }

    /// `2x` is twice the cap; anything else is bytes.
    private static func bytes(_ size: String, cap: Int) throws -> Int {
        guard size.hasSuffix("x") else { return try Quantity.bytes(size) }
        guard let factor = Double(size.dropLast()), factor > 0, factor <= 1_000 else {
            throw ValidationError("--sizes \(size) is not a multiple such as 2x, nor a size such as 20GiB")
        }
        return Int(factor * Double(cap))
    }
}
