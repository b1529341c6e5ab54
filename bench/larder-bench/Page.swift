import ArgumentParser
import Foundation
import LarderClient
import LarderCodec
import LarderModel
import LarderSampleState
import LarderSystem
import LarderWire

/// Page-in and page-out through a daemon and an arena, next to the limits of the same machine in the same run.
struct Page: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Page-in and page-out through an arena, as ratios to what memory and codec allow.")
    @Option(help: "A directory of state files, as bench/data/README.md describes them.")
    var data = "bench/data/kv"
    @Option(help: "Runs of which the median counts.")
    var runs = 15
    @Flag(help: "Print JSON instead of text.")
    var json = false

    private static let chunkBytes = 1 << 20
    private static let rawChunks = 32

    func run() throws {
        let directory = try FileSystem.makeTemporaryDirectory(prefix: "larder-bench-")
        defer { FileSystem.removeTree(directory) }
        let daemon = DaemonProcess(directory: directory, arguments: ["--cap", "1GiB"])
        defer { daemon.stop() }
        let client = try daemon.start(name: "larder-bench")
        let arena = try client.openArena(byteCount: 64 << 20)
        var measurements = [try roundTrip(client)]
        measurements += try rawPages(client, arena)
        measurements += try cascadePages(client, arena)
        if json {
            try Measurement.printJSON(measurements)
        } else {
            print("name                                     value  unit      goal")
            for one in measurements {
                let name = one.name.padding(toLength: 38, withPad: " ", startingAt: 0)
                let goal = one.goal.map { (one.better == .higher ? "at least " : "at most ") + formatted($0, 2) } ?? "-"
                print(
                    name + String(format: "%8.2f  ", one.value)
                        + one.unit.padding(toLength: 10, withPad: " ", startingAt: 0) + goal)
            }
        }
    }

    /// The median of an empty request's round trip.
    private func roundTrip(_ client: Client) throws -> Measurement {
        let calls = 2_000
        var times: [UInt64] = []
        for _ in 0..<calls {
            let start = Clock.now()
            _ = try client.models()
            times.append(Clock.now() - start)
        }
        times.sort()
        return Measurement(
            "round_trip_p50", Double(times[calls / 2]) / 1e3, unit: "us", better: .lower,
            detail: ["request": "list_models"])
    }

    /// 1 MiB chunks that nothing shrinks, stored raw.
    private func rawPages(_ client: Client, _ arena: Arena) throws -> [Measurement] {
        let model = try client.declare(
            ModelDeclaration(
                name: "raw",
                components: [
                    Component(name: "kv", kind: .attention, elementType: .bytes, layers: 4, planes: 1, rowBytes: 16_384)
                ]))
        let session = try client.openSession(namespace: "bench", name: "raw", modelID: model.modelID).session
        var generator = SystemRandomNumberGenerator()
        let bytes = Self.rawChunks * Self.chunkBytes
        let words = arena.bytes.bindMemory(to: UInt64.self)
        for index in 0..<bytes / 8 { words[index] = generator.next() }
        let slices = (0..<Self.rawChunks).map { arena.slice($0 * Self.chunkBytes..<($0 + 1) * Self.chunkBytes) }
        let names = slices.indices.map { ChunkName(session: session, component: 0, offset: UInt64($0 * 16)) }
        let start = Clock.now()
        let puts = zip(names, slices).map { ArenaPageOut(name: $0, tokens: 16, source: $1) }
        for result in try client.put(puts, encoding: .raw) { _ = try result.get() }
        let out = Double(Clock.now() - start)
        let copy = memcpyTime(arena, bytes: bytes)
        let time = try pageIn(client, zip(names, slices).map { ArenaPageIn(item: GetItem(name: $0), destination: $1) })
        return [
            Measurement(
                "page_out_committed_raw_1mib", Double(bytes) / out, unit: "GB/s",
                detail: ["chunks": "\(Self.rawChunks)"]),
            Measurement("page_in_raw_1mib", Double(bytes) / time, unit: "GB/s"),
            Measurement("memcpy_to_arena", Double(bytes) / copy, unit: "GB/s"),
            Measurement("page_in_raw_1mib_over_memcpy", copy / time, unit: "ratio", goal: 0.85),
        ]
    }

    /// Real bf16 state, exactly encoded.
    private func cascadePages(_ client: Client, _ arena: Arena) throws -> [Measurement] {
        let state = try SampleState(directory: data, elementType: .bf16)
        let session = try client.openSession(
            namespace: "bench", name: "state", modelID: try client.declare(state.model).modelID
        ).session
        let pieces = state.pieces(chunkTokens: 256)
        var slices: [ArenaSlice] = []
        for piece in pieces {
            let start = slices.last?.range.upperBound ?? 0
            slices.append(arena.slice(start..<start + piece.bytes.count))
            slices.last!.bytes.copyBytes(from: piece.bytes)
        }
        let names = pieces.map { ChunkName(session: session, component: $0.component, offset: UInt64($0.offset)) }
        let bytes = pieces.reduce(0) { $0 + $1.bytes.count }
        let start = Clock.now()
        let puts = zip(zip(names, pieces), slices).map {
            ArenaPageOut(name: $0.0, tokens: UInt32($0.1.tokens), source: $1)
        }
        for result in try client.put(puts) { _ = try result.get() }
        let out = Double(Clock.now() - start)
        let codec = codecTime(state, pieces, into: arena)
        let copy = memcpyTime(arena, bytes: bytes)
        let time = try pageIn(client, zip(names, slices).map { ArenaPageIn(item: GetItem(name: $0), destination: $1) })
        for (piece, slice) in zip(pieces, slices) where !slice.bytes.elementsEqual(piece.bytes) {
            throw ValidationError("the chunk at \(piece.offset) is not what was paged out")
        }
        let detail = ["bytes": "\(bytes)", "chunks": "\(pieces.count)"]
        return [
            Measurement("page_out_committed_cascade", Double(bytes) / out, unit: "GB/s", detail: detail),
            Measurement("page_in_cascade", Double(bytes) / time, unit: "GB/s", detail: detail),
            Measurement("codec_decode_in_process", Double(bytes) / codec, unit: "GB/s", detail: detail),
            Measurement("page_in_cascade_over_codec_one_core", codec / time, unit: "ratio", detail: detail),
            Measurement("page_in_cascade_over_memcpy", copy / time, unit: "ratio", goal: 0.60, detail: detail),
        ]
    }

    private func pageIn(_ client: Client, _ gets: [ArenaPageIn]) throws -> Double {
        try Stopwatch.median(runs) { for result in try client.get(gets) { _ = try result.get() } }
    }

    /// Copying as many bytes from ordinary memory into the arena, chunk by chunk.
    private func memcpyTime(_ arena: Arena, bytes: Int) -> Double {
        let source = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 4_096)
        defer { source.deallocate() }
        source.copyMemory(from: UnsafeRawBufferPointer(rebasing: arena.bytes[..<bytes]))
        return Stopwatch.median(runs) {
            for start in stride(from: 0, to: bytes, by: Self.chunkBytes) {
                let count = min(Self.chunkBytes, bytes - start)
                arena.bytes.baseAddress!.advanced(by: start).copyMemory(
                    from: source.baseAddress! + start, byteCount: count)
            }
        }
    }

    /// Decoding the same chunks in this process, on one core.
    private func codecTime(_ state: SampleState, _ pieces: [SampleState.Piece], into arena: Arena) -> Double {
        let scratch = CodecScratch()
        let stored = pieces.map { piece in
            let shape = ChunkShape(state.model.components[Int(piece.component)], tokens: UInt32(piece.tokens))
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: ChunkEncoder.bound(shape), alignment: 64)
            let count = piece.bytes.withUnsafeBytes {
                ChunkEncoder.encode($0, shape: shape, choice: .auto, into: room, scratch: scratch)
            }
            ChunkHeader.stamp(room.baseAddress!, blocks: shape.blockCount, blobID: 1)
            return UnsafeRawBufferPointer(rebasing: room[..<count])
        }
        defer { stored.forEach { $0.deallocate() } }
        return Stopwatch.median(runs) {
            var start = 0
            for (chunk, piece) in zip(stored, pieces) {
                let target = UnsafeMutableRawBufferPointer(rebasing: arena.bytes[start..<start + piece.bytes.count])
                start += piece.bytes.count
                do {
                    let decoded = try StoredChunk(chunk, blobID: 1)
                    try decoded.decode(layers: 0..<decoded.shape.layers, into: target, scratch: scratch)
                } catch { fatalError("the codec damaged a chunk: \(error)") }
            }
        }
    }
}
