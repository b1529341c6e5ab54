import LarderCodec
import LarderModel
import LarderTestSupport
import Testing

/// Chunks that are encoded out of order, from memory that is kept or lent: the bytes are those of the plain encoder.
@Suite("Chunks encoded block by block") struct EncodedChunkTests {
    private static let shapes = [
        ChunkShape(elementType: .bf16, tokens: 700, layers: 3, planes: 2, rows: 700, rowBytes: 1_024),
        ChunkShape(elementType: .f16, tokens: 5, layers: 2, planes: 1, rows: 5, rowBytes: 514),
        ChunkShape(elementType: .f32, tokens: 0, layers: 4, planes: 1, rows: 1, rowBytes: 300_000),
        ChunkShape(elementType: .bytes, tokens: 33, layers: 1, planes: 16, rows: 33, rowBytes: 7),
    ]

    @Test(arguments: shapes, EncodingChoice.allCases) func equalsThePlainEncoder(
        shape: ChunkShape, choice: EncodingChoice
    ) throws {
        var generator = SeededGenerator(seed: testSeed("EncodedChunkTests"))
        // Half noise, half zeros, so that the encodings of blocks differ.
        var raw = generator.bytes(shape.rawBytes)
        for index in raw.indices where index / 60_000 % 2 == 1 { raw[index] = 0 }
        let scratch = CodecScratch()
        var expected = [UInt8](repeating: 0, count: ChunkEncoder.bound(shape))
        let count = raw.withUnsafeBytes { raw in
            expected.withUnsafeMutableBytes { output in
                let count = ChunkEncoder.encode(raw, shape: shape, choice: choice, into: output, scratch: scratch)
                ChunkHeader.stamp(output.baseAddress!, blocks: shape.blockCount, blobID: 77)
                return count
            }
        }
        for isKept in [false, true] {
            let chunk = EncodedChunk(shape)
            raw.withUnsafeBytes { raw in
                if isKept { for block in 0..<shape.blockCount { chunk.keep(block: block, of: raw) } }
                for block in (0..<shape.blockCount).reversed() {
                    chunk.encode(block: block, of: isKept ? nil : raw, choice: choice, scratch: scratch)
                }
            }
            chunk.finish()
            #expect(chunk.byteCount == count)
            var output = [UInt8](repeating: 0xEE, count: count + 64)
            output.withUnsafeMutableBytes { chunk.write(to: $0.baseAddress!, blobID: 77) }
            #expect(output[..<count].elementsEqual(expected[..<count]))
            #expect(output[count...].allSatisfy { $0 == 0xEE })
        }
    }
}
