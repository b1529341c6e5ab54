import LarderCodec
import LarderModel
import LarderTestSupport
import Testing

/// Chunks whose checksums hold but whose content an enemy chose: decoding must end in damage or in bytes, never in a trap.
@Suite("Hostile chunks")
struct HostileChunkTests {
    private static let extremes: [UInt32] = [
        0, 1, 2, 3, 255, 256, 4_096, 4_097, 131_072, 131_073, 262_144, 1 << 20, 64 << 20, 256 << 20, 0x7FFF_FFFF,
        0x8000_0000, 0xFFFF_FF00, 0xFFFF_FFFF,
    ]

    @Test("A header field that contradicts the others is refused, checksum or not")
    func headerFields() {
        let shape = ChunkShape(elementType: .bf16, tokens: 30, layers: 2, planes: 3, rows: 30, rowBytes: 34)
        let chunk = encodeChunk([UInt8](repeating: 5, count: shape.rawBytes), shape, .auto)
        let scratch = CodecScratch()
        for offset in [16, 20, 24, 28, 32, 36, 40, 44] {
            for value in Self.extremes where value != chunk.word(offset) {
                var changed = chunk
                changed.setWord(value, at: offset)
                let blocks = Int(changed.word(40))
                let isReadable = blocks <= 6 && blocks >= 0
                changed.withUnsafeMutableBytes {
                    ChunkHeader.stamp($0.baseAddress!, blocks: isReadable ? blocks : 6, blobID: 7)
                }
                #expect(throws: ChunkDamage.self, "\(value) at \(offset)") {
                    try decodeChunk(changed, scratch: scratch)
                }
            }
        }
    }

    @Test("A block table that does not add up is refused")
    func blockTable() {
        let shape = ChunkShape(elementType: .i8, tokens: 30, layers: 2, planes: 2, rows: 30, rowBytes: 10)
        let chunk = encodeChunk([UInt8](repeating: 5, count: shape.rawBytes), shape, .auto)
        let scratch = CodecScratch()
        for offset in stride(from: 64, to: 128, by: 16).flatMap({ [$0, $0 + 4] }) {
            for value in Self.extremes {
                var changed = chunk
                changed.setWord(value, at: offset)
                changed.withUnsafeMutableBytes { ChunkHeader.stamp($0.baseAddress!, blocks: 4, blobID: 7) }
                #expect(throws: ChunkDamage.self, "\(value) at \(offset)") {
                    try decodeChunk(changed, scratch: scratch)
                }
            }
        }
    }

    @Test("Thousands of random changes to header, table and blocks, with checksums that hold")
    func mutations() {
        var random = SeededGenerator(seed: testSeed("hostile chunk mutations"))
        let scratch = CodecScratch()
        let shape = ChunkShape(elementType: .f16, tokens: 64, layers: 2, planes: 2, rows: 64, rowBytes: 32)
        let state = stateLike(.f16, count: 4_096, width: 16, using: &random)
        let text = (0..<8_192).map { UInt8($0 / 9 % 23) }
        let rounds = 6_000
        var refused = 0
        for round in 0..<rounds {
            let (raw, choice) = round % 3 == 0 ? (text, EncodingChoice.lz4) : (state, .cascade)
            var chunk = encodeChunk(raw, shape, choice, scratch: scratch)
            let places = BlockPlace.all(in: chunk)
            #expect(places.allSatisfy { $0.encoding == choice.rawValue })
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let within = Int.random(in: 0..<10, using: &random)
                let index =
                    within == 0
                    ? Int.random(in: 6..<128, using: &random)
                    : places.randomElement(using: &random)!.stored.lowerBound
                        + Int.random(in: 0..<(within < 5 ? 48 : places[0].stored.count), using: &random)
                chunk[min(index, chunk.count - 1)] = UInt8.random(in: 0...255, using: &random)
            }
            chunk.restamp(places)
            do throws(ChunkDamage) { _ = try decodeChunk(chunk, scratch: scratch) } catch { refused += 1 }
        }
        print("hostile chunk mutations: \(refused) of \(rounds) refused")
        #expect(refused > rounds / 4 && refused < rounds, "\(refused) refused: the mutations miss what they aim at")
    }
}
