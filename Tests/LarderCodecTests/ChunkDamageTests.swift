import LarderCodec
import LarderModel
import LarderTestSupport
import Testing

@Suite("Damaged chunks")
struct ChunkDamageTests {
    /// Small chunks of each encoding, of several blocks.
    private static func samples(_ random: inout SeededGenerator) -> [(raw: [UInt8], chunk: [UInt8])] {
        let floats = ChunkShape(elementType: .f16, tokens: 64, layers: 2, planes: 1, rows: 64, rowBytes: 32)
        let singles = ChunkShape(elementType: .f32, tokens: 5, layers: 1, planes: 2, rows: 5, rowBytes: 4 * 64)
        let bytes = ChunkShape(elementType: .bytes, tokens: 4, layers: 3, planes: 2, rows: 4, rowBytes: 33)
        let half = stateLike(.f16, count: 2_048, width: 16, using: &random)
        let single = stateLike(.f32, count: 640, width: 64, using: &random)
        let text = (0..<792).map { UInt8($0 % 11) }
        let noise = random.bytes(792)
        return [
            (half, encodeChunk(half, floats, .cascade)), (single, encodeChunk(single, singles, .cascade)),
            (text, encodeChunk(text, bytes, .lz4)), (noise, encodeChunk(noise, bytes, .auto)),
        ]
    }

    private func fails(_ chunk: [UInt8], blobID: UInt64 = 7, _ scratch: CodecScratch) -> Bool {
        do throws(ChunkDamage) {
            _ = try decodeChunk(chunk, blobID: blobID, scratch: scratch)
            return false
        } catch { return true }
    }

    @Test("Every flipped bit of every byte is noticed")
    func flippedBits() throws {
        var random = SeededGenerator(seed: testSeed("flippedBits"))
        let scratch = CodecScratch()
        var encodings: Set<UInt8> = []
        for (raw, chunk) in Self.samples(&random) {
            try expectSame(decodeChunk(chunk, scratch: scratch), raw)
            encodings.formUnion(BlockPlace.all(in: chunk).map(\.encoding))
            for index in chunk.indices {
                for bit in 0..<8 {
                    var damaged = chunk
                    damaged[index] ^= 1 << UInt8(bit)
                    #expect(fails(damaged, scratch), "bit \(bit) of byte \(index)")
                }
            }
        }
        #expect(encodings == [1, 2, 3], "a sample lacks an encoding")
    }

    @Test("A chunk cut anywhere, or with bytes after its end, is noticed")
    func lengths() {
        var random = SeededGenerator(seed: testSeed("lengths"))
        let scratch = CodecScratch()
        for (_, chunk) in Self.samples(&random) {
            for length in 0..<chunk.count { #expect(fails(Array(chunk[..<length]), scratch), "\(length) bytes") }
            for more in [1, 2, 64] { #expect(fails(chunk + [UInt8](repeating: 0, count: more), scratch)) }
        }
    }

    @Test("Each damage has its name")
    func names() throws {
        var random = SeededGenerator(seed: testSeed("names"))
        let (_, chunk) = Self.samples(&random)[0]
        func damage(_ change: (inout [UInt8]) -> Void) -> ChunkDamage? {
            var changed = chunk
            change(&changed)
            do throws(ChunkDamage) { _ = try decodeChunk(changed) } catch { return error }
            return nil
        }
        let places = BlockPlace.all(in: chunk)
        #expect(places.map(\.encoding) == [3, 3])
        #expect(damage { $0 = Array($0[..<63]) } == .length(expected: 64, found: 63))
        #expect(damage { $0.removeLast() } == .length(expected: chunk.count, found: chunk.count - 1))
        func restamped(_ offset: Int, _ value: UInt8) -> ChunkDamage? {
            damage {
                $0[offset] = value
                $0.restamp(places)
            }
        }
        #expect(damage { $0[0] = 0 } == .magic(0x314B_4300))
        #expect(damage { $0[4] = 2 } == .version(2))
        #expect(damage { $0[16] ^= 1 } == .headerChecksum)
        #expect(damage { $0[60] ^= 1 } == .headerChecksum)
        #expect(damage { $0[64] ^= 1 } == .headerChecksum)
        #expect(damage { $0[places[1].stored.lowerBound] ^= 1 } == .blockChecksum(block: 1))
        #expect(restamped(6, 0) == .shape)
        #expect(restamped(6, 8) == .shape)
        #expect(restamped(76, 0) == .shape)
        #expect(restamped(76, 4) == .shape)
        // As bf16 the shape holds, but the cascades are of another form.
        #expect(restamped(6, 1) == .blockContent(block: 0))
        // A cascade called raw or LZ4 has the wrong length or makes no sense.
        #expect(restamped(92, 1) == .blockContent(block: 1))
        #expect(restamped(92, 2) == .blockContent(block: 1))
    }

    @Test("A whole chunk under another blob's id is refused", arguments: [0, 6, 8, UInt64.max])
    func identity(_ other: UInt64) throws {
        let shape = ChunkShape.plane(.i8, rows: 3, width: 5)
        let chunk = encodeChunk([UInt8](repeating: 1, count: 15), shape, .raw, blobID: 7)
        #expect(throws: ChunkDamage.identity(expected: other, found: 7)) { try decodeChunk(chunk, blobID: other) }
        #expect(try decodeChunk(chunk, blobID: 7) == [UInt8](repeating: 1, count: 15))
    }

    @Test("Damage reads as a sentence")
    func descriptions() {
        let all: [ChunkDamage] = [
            .length(expected: 2, found: 1), .magic(1), .version(9), .headerChecksum, .identity(expected: 1, found: 2),
            .shape, .blockChecksum(block: 3), .blockContent(block: 4),
        ]
        #expect(Set(all.map(\.description)).count == all.count)
        #expect(ChunkDamage.version(9).description.contains("9"))
    }
}
