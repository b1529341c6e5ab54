import LarderCodec
import LarderModel
import LarderSampleState
import LarderTestSupport
import Testing

@Suite("Chunk round trips")
struct RoundTripTests {
    /// Rows and elements of a row: tiny, odd, on and around a group and a block.
    static let sizes = [
        (1, 1), (1, 3), (2, 100), (1, 255), (1, 256), (257, 1), (3, 333), (64, 64), (9, 1_025), (40, 9_000),
        (1, 140_001),
    ]

    private func contents(_ type: ElementType, count: Int, width: Int, _ random: inout SeededGenerator) -> [[UInt8]] {
        let bytes = count * type.byteCount
        var all = [[UInt8](repeating: 0, count: bytes), [UInt8](repeating: 0x3F, count: bytes), random.bytes(bytes)]
        if Cascade.serves(type) { all.append(stateLike(type, count: count, width: width, using: &random)) }
        // Half of it repeats, so that blocks differ in what suits them.
        all.append(Array(random.bytes(bytes / 2)) + [UInt8](repeating: 7, count: bytes - bytes / 2))
        return all
    }

    @Test("What went in comes out, in at most the bound", arguments: ElementType.allCases, EncodingChoice.allCases)
    func roundTrip(_ type: ElementType, _ choice: EncodingChoice) throws {
        var random = SeededGenerator(seed: testSeed("roundTrip \(type) \(choice)"))
        let scratch = CodecScratch()
        for (rows, width) in Self.sizes {
            for (layers, planes) in [(1, 1), (2, 3)] where layers * planes * rows * width < 600_000 {
                let shape = ChunkShape(
                    elementType: type, tokens: UInt32(rows), layers: layers, planes: planes, rows: rows,
                    rowBytes: width * type.byteCount)
                for raw in contents(type, count: layers * planes * rows * width, width: width, &random) {
                    let chunk = encodeChunk(raw, shape, choice, scratch: scratch)
                    #expect(chunk.count <= raw.count + 64 + 16 * shape.blockCount)
                    #expect(ChunkEncoder.bound(shape) == raw.count + 64 + 16 * shape.blockCount)
                    try expectSame(decodeChunk(chunk, scratch: scratch), raw, "\(shape)")
                }
            }
        }
    }

    @Test("A choice is kept to: no other encoding than it or raw", arguments: EncodingChoice.allCases)
    func choice(_ choice: EncodingChoice) throws {
        let raw = [UInt8](repeating: 9, count: 20_000)
        let chunk = encodeChunk(raw, .plane(.bf16, rows: 100, width: 100), choice)
        let expected: [EncodingChoice: Encoding] = [.auto: .lz4, .raw: .raw, .lz4: .lz4, .cascade: .cascade]
        #expect(BlockPlace.all(in: chunk).allSatisfy { $0.encoding == expected[choice]!.rawValue })
        let bytes = encodeChunk(raw, .plane(.bytes, rows: 100, width: 200), choice)
        #expect(BlockPlace.all(in: bytes).allSatisfy { $0.encoding == (choice == .raw || choice == .cascade ? 1 : 2) })
    }

    @Test("A recurrent state has no tokens and one row, even one longer than a block")
    func recurrent() throws {
        let component = Component(
            name: "state", kind: .recurrent, elementType: .f32, layers: 2, planes: 1, rowBytes: 4 * 70_003)
        let shape = ChunkShape(component, tokens: 0)
        var random = SeededGenerator(seed: testSeed("recurrent"))
        let raw = stateLike(.f32, count: 2 * 70_003, width: 128, using: &random)
        for choice in EncodingChoice.allCases {
            let chunk = encodeChunk(raw, shape, choice)
            #expect(shape.rows == 1 && shape.blockCount == 4)
            try expectSame(decodeChunk(chunk), raw)
        }
    }

    @Test("A range of layers is that slice of the whole", arguments: [EncodingChoice.raw, .lz4, .cascade, .auto])
    func layerRanges(_ choice: EncodingChoice) throws {
        let sample = try SampleState(directory: Repository.sampleDirectory)
        let piece = sample.piece(component: 1, tokens: sample.firstTokens[1]..<sample.tokens)
        let shape = ChunkShape(sample.model.components[1], tokens: UInt32(piece.tokens))
        let chunk = encodeChunk(piece.bytes, shape, choice)
        let scratch = CodecScratch()
        for first in 0...shape.layers {
            for end in first...shape.layers {
                let expected = Array(piece.bytes[first * shape.layerBytes..<end * shape.layerBytes])
                try expectSame(decodeChunk(chunk, layers: first..<end, scratch: scratch), expected, "\(first)..<\(end)")
            }
        }
    }

    @Test("Scratch memory carries nothing from one chunk to the next")
    func scratchReuse() throws {
        var random = SeededGenerator(seed: testSeed("scratchReuse"))
        let shared = CodecScratch()
        for _ in 0..<200 {
            let type = ElementType.allCases.randomElement(using: &random)!
            let choice = EncodingChoice.allCases.randomElement(using: &random)!
            let (rows, width) = (Int.random(in: 1...90, using: &random), Int.random(in: 1...300, using: &random))
            let shape = ChunkShape.plane(type, rows: rows, width: width)
            let raw = contents(type, count: rows * width, width: width, &random).randomElement(using: &random)!
            let chunk = encodeChunk(raw, shape, choice, scratch: shared)
            expectSame(chunk, encodeChunk(raw, shape, choice, scratch: CodecScratch()), "\(shape) \(choice)")
            try expectSame(decodeChunk(chunk, scratch: shared), raw, "\(shape) \(choice)")
        }
    }

    @Test("bytesByEncoding sums the blocks")
    func sums() throws {
        var random = SeededGenerator(seed: testSeed("sums"))
        let shape = ChunkShape(elementType: .i8, tokens: 10, layers: 2, planes: 1, rows: 10, rowBytes: 100)
        let chunk = encodeChunk([UInt8](repeating: 0, count: 1_000) + random.bytes(1_000), shape, .auto)
        let sums = try chunk.withUnsafeBytes { try StoredChunk($0, blobID: 7).bytesByEncoding() }
        #expect(sums[.raw]?.raw == 1_000 && sums[.raw]?.stored == 1_000)
        #expect(sums[.lz4]?.raw == 1_000 && (sums[.lz4]?.stored ?? 1_000) < 50 && sums[.cascade] == nil)
    }
}
