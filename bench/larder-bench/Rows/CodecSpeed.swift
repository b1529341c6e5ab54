import ArgumentParser
import LarderCodec

/// The codec in this process, on one core and real bf16 state, against copying the same bytes: all out of cache.
enum CodecSpeed: RowGroup {
    static let names = ["codec_decode_bf16_over_memcpy", "codec_encode_bf16_over_memcpy"]

    static func measure(_ bench: PageBench) throws -> [Measurement] {
        let set = ChunkSet(repeating: bench.real, byteCount: LimitsCommand.outOfCacheBytes)
        let encoded = EncodedSet(set)
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: set.bytes.count, alignment: 4_096)
        defer { output.deallocate() }
        let scratch = CodecScratch()
        let times = try Stopwatch.inTurn(
            bench.runs, { try Stopwatch.time { try encoded.decode(to: output.baseAddress!, scratch) } },
            { Stopwatch.time { encoded.encode(scratch) } }, { Stopwatch.time { set.copy(to: output.baseAddress!) } })
        output.initializeMemory(as: UInt8.self, repeating: 0)
        try encoded.decode(to: output.baseAddress!, scratch)
        guard output.elementsEqual(set.bytes) else { throw ValidationError("the codec changed the state") }
        return [
            .ratio(names[0], of: times[0], to: times[2], goal: 0.65, bytes: set.bytes.count),
            .ratio(names[1], of: times[1], to: times[2], goal: 0.35, bytes: set.bytes.count),
        ]
    }
}
