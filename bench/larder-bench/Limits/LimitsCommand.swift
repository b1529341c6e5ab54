import ArgumentParser
import Foundation
import LarderCodec
import LarderModel
import LarderSampleState
import LarderSystem
import LarderWire

/// What the machine allows, without a daemon.
struct LimitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limits", abstract: "What memory, codec, socket and disk of this machine allow, without a daemon.",
        discussion: "The disk is that of TMPDIR, or of /tmp.")
    @OptionGroup var common: CommonOptions
    @Option(help: "Runs of which the median counts.")
    var runs = 9

    /// Bytes that no cache holds.
    static let outOfCacheBytes = 128 << 20

    func validate() throws { try CommonOptions.require(runs, in: 1...1_000, "runs") }

    func run() throws {
        let quiet = Quiet()
        defer { quiet.warn() }
        let real = ChunkSet(try common.sampleState())
        let directory = try FileSystem.makeTemporaryDirectory(prefix: "larder-bench-")
        defer { FileSystem.removeTree(directory) }
        try common.show(memory() + codec(real) + roundTrip(directory) + disk(directory))
    }

    private func memory() throws -> [Measurement] {
        let sizes = [(name: "in_cache", bytes: 1 << 20), (name: "out_of_cache", bytes: Self.outOfCacheBytes)]
        return try sizes.flatMap { size in
            let set = ChunkSet(incompressible: size.bytes >> 20, chunkBytes: 1 << 20)
            let arena = try SharedMemory.create(name: "larder-bench", byteCount: size.bytes)
            let base = arena.bytes.baseAddress!
            let passes = max(1, (16 << 20) / size.bytes)
            let times = try Stopwatch.inTurn(
                runs, { Stopwatch.time { for _ in 0..<passes { set.copy(to: base) } } },
                {
                    Stopwatch.time {
                        for _ in 0..<passes { _ = CRC32C.checksum(UnsafeRawBufferPointer(set.bytes)) }
                    }
                })
            return zip(["memcpy_to_arena", "crc32c"], times).map { name, time in
                Measurement(
                    "\(name)_\(size.name)", Double(passes * size.bytes) / time, unit: "GB/s",
                    detail: ["bytes": "\(size.bytes)"])
            }
        }
    }

    private func codec(_ real: ChunkSet) throws -> [Measurement] {
        let set = ChunkSet(repeating: real, byteCount: Self.outOfCacheBytes)
        let encoded = EncodedSet(set)
        let arena = try SharedMemory.create(name: "larder-bench", byteCount: set.bytes.count)
        let output = arena.bytes
        let scratch = CodecScratch()
        let cores = ProcessInfo.processInfo.activeProcessorCount
        let times = try Stopwatch.inTurn(
            runs, { Stopwatch.time { encoded.encode(scratch) } },
            { try Stopwatch.time { try encoded.decode(to: output.baseAddress!, scratch) } },
            { try encoded.encode(threads: cores, passes: 1) },
            { try encoded.decode(to: output, threads: cores, passes: 1) })
        let names = ["encode_bf16_one_core", "decode_bf16_one_core", "encode_bf16_all_cores", "decode_bf16_all_cores"]
        return zip(names, times).map { name, time in
            Measurement(
                "codec_\(name)", Double(set.bytes.count) / time, unit: "GB/s",
                detail: ["bytes": "\(set.bytes.count)", "cores": "\(cores)", "encoding": "auto"])
        }
    }

    /// The echo's ends bound to two processors and to one: waking another processor takes longer than the rest.
    private func roundTrip(_ directory: String) throws -> [Measurement] {
        let processors = try Processors.allowed()
        defer { try? Processors.bind(to: processors) }
        try Processors.bind(to: [processors[0]])
        let bytes = ListModels().frame(requestID: 1).count
        let echo = try EchoProcess(in: directory, requestBytes: bytes, answerBytes: bytes)
        return try [("two_processors", processors.last!), ("one_processor", processors[0])].flatMap { name, processor in
            if name == "two_processors" && processors.count == 1 { return [Measurement]() }
            try Processors.bind(to: [processor])
            var (warm, latencies) = (Latencies(), Latencies())
            try echo.roundTrips(1_000, into: &warm)
            try echo.roundTrips(10_000, into: &latencies)
            return [50, 99].map { percent in
                Measurement(
                    "echo_\(name)_p\(percent)", latencies.percentile(Double(percent)), unit: "us", better: .lower,
                    detail: ["bytes_each_way": "\(bytes)"])
            }
        }
    }

    private func disk(_ directory: String) throws -> [Measurement] {
        let set = ChunkSet(incompressible: 128, chunkBytes: 1 << 20)
        let disk = Disk(in: directory)
        let times = try Stopwatch.inTurn(
            max(3, runs / 3), { try disk.writeNewFile(set.bytes) }, { try disk.overwrite(set.bytes) })
        return zip(["disk_write_new_file", "disk_overwrite"], times).map { name, time in
            Measurement(
                name, Double(set.bytes.count) / time, unit: "GB/s",
                detail: ["bytes": "\(set.bytes.count)", "end": "fdatasync"])
        }
    }
}
