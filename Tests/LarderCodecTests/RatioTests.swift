import LarderCodec
import LarderModel
import LarderSampleState
import LarderTestSupport
import Testing

@Suite("Ratios on real state")
struct RatioTests {
    /// Raw over stored bytes, headers included, of state paged out in chunks of `chunkTokens`.
    private func ratio(
        _ directory: String, _ type: ElementType, _ choice: EncodingChoice, chunkTokens: Int
    ) throws -> Double {
        let sample = try SampleState(directory: directory, elementType: type)
        let scratch = CodecScratch()
        var (raw, stored) = (0, 0)
        for piece in sample.pieces(chunkTokens: chunkTokens) {
            let shape = ChunkShape(sample.model.components[Int(piece.component)], tokens: UInt32(piece.tokens))
            raw += piece.bytes.count
            stored += encodeChunk(piece.bytes, shape, choice, scratch: scratch).count
        }
        let ratio = Double(raw) / Double(stored)
        print("\(type) \(choice) in chunks of \(chunkTokens) tokens: \(ratio), \(directory)")
        return ratio
    }

    static let goals: [(ElementType, Double)] = [(.f16, 1.16), (.bf16, 1.47)]

    @Test("The sample reaches the goals", arguments: goals)
    func sample(_ type: ElementType, _ goal: Double) throws {
        #expect(try ratio(Repository.sampleDirectory, type, .auto, chunkTokens: 512) >= goal)
    }

    @Test("The whole state reaches the goals", .enabled(if: Repository.fullStateDirectory != nil), arguments: goals)
    func whole(_ type: ElementType, _ goal: Double) throws {
        let directory = try #require(Repository.fullStateDirectory)
        #expect(try ratio(directory, type, .auto, chunkTokens: 512) >= goal)
        #expect(try ratio(directory, type, .cascade, chunkTokens: 512) >= goal)
    }

    @Test("Chunks of 64 tokens stay near the goals: the bases are their price", arguments: goals)
    func smallChunks(_ type: ElementType, _ goal: Double) throws {
        #expect(try ratio(Repository.sampleDirectory, type, .auto, chunkTokens: 64) >= goal * 0.97)
    }
}
