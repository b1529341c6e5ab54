import LarderCodec
import LarderModel
import LarderSampleState
import LarderTestSupport
import Testing

@Suite("Cascade kernels")
struct CascadeKernelTests {
    static let types: [ElementType] = [.bf16, .f16, .f32]
    static let widths = [1, 3, 64, 100, 192, 256, 1024, 4096, 8192, 9000]

    /// Expects every kernel to give the plain one's bytes, and to take them back. Returns whether the block was a cascade.
    @discardableResult
    private func compare(
        _ raw: [UInt8], _ type: ElementType, width: Int, _ scratch: CodecScratch, _ comment: Comment
    ) -> Bool {
        let expected = CascadeRun.encode(raw, type, width: width, .plain, scratch)
        #expect(expected.count < max(raw.count, 1), comment)
        for kernel in CascadeKernel.all {
            let block = CascadeRun.encode(raw, type, width: width, kernel, scratch)
            expectSame(block, expected, "\(comment), kernel \(kernel.name) encodes")
            if expected.isEmpty { continue }
            let decoded = CascadeRun.decode(expected, type, rawBytes: raw.count, kernel, scratch)
            expectSame(decoded, raw, "\(comment), kernel \(kernel.name) decodes")
        }
        return !expected.isEmpty
    }

    @Test("The plain kernel is last, and the best is first")
    func order() {
        #expect(CascadeKernel.all.last?.name == "plain")
        #expect(CascadeKernel.best.name == CascadeKernel.all[0].name)
        #expect(Set(CascadeKernel.all.map(\.name)).count == CascadeKernel.all.count)
        print("cascade kernels: \(CascadeKernel.all.map(\.name)), CRC32C: \(CRC32C.implementation)")
    }

    @Test("State-like values of every width", arguments: types, widths)
    func stateLikeValues(_ type: ElementType, _ width: Int) {
        var random = SeededGenerator(seed: testSeed("stateLikeValues \(type) \(width)"))
        let scratch = CodecScratch()
        let most = Limits.blockBytes / type.byteCount
        let rows = [1, 2, 3, 7, 64, 65, most / width].filter { $0 * width <= most }
        let saved = rows.count { rows in
            let raw = stateLike(type, count: rows * width, width: width, using: &random)
            return compare(raw, type, width: width, scratch, "\(rows) rows")
        }
        #expect(saved > 0, "no block was a cascade: the test compares nothing")
    }

    @Test("Every number of values around the groups' edges", arguments: types)
    func sizes(_ type: ElementType) {
        var random = SeededGenerator(seed: testSeed("sizes \(type)"))
        let scratch = CodecScratch()
        for count in Array(0...20) + Array(250...262) + Array(506...518) + [767, 768, 769, 1_000, 8_191, 8_193] {
            let raw = stateLike(type, count: count, width: 1, using: &random)
            compare(raw, type, width: 1, scratch, "\(count) values")
        }
    }

    @Test("Constants, zeros, random bytes, and the patterns that floats reserve", arguments: types, widths)
    func patterns(_ type: ElementType, _ width: Int) {
        var random = SeededGenerator(seed: testSeed("patterns \(type) \(width)"))
        let scratch = CodecScratch()
        let bytes = max(16_384, width) * type.byteCount / (width * type.byteCount) * width * type.byteCount
        compare([UInt8](repeating: 0, count: bytes), type, width: width, scratch, "zeros")
        compare([UInt8](repeating: 0xFF, count: bytes), type, width: width, scratch, "NaNs")
        compare((0..<bytes).map { [0x12, 0xB4, 0x80, 0x3F][$0 % 4] }, type, width: width, scratch, "constant")
        compare(random.bytes(bytes), type, width: width, scratch, "random bytes")
        // A high byte of these, any low byte: infinities, NaNs, denormals, zeros of both signs.
        let tops: [UInt8] = [0x00, 0x80, 0x7F, 0xFF, 0x7C, 0xFC, 0x01, 0x7E]
        let special = (0..<bytes).map { index in
            index % type.byteCount == type.byteCount - 1
                ? tops[Int.random(in: 0..<8, using: &random)] : UInt8.random(in: 0...255, using: &random)
        }
        compare(special, type, width: width, scratch, "special values")
        // Few exponents per block, anywhere in their range: the bases wrap.
        let last = (0..<bytes).map { index in
            index % type.byteCount == type.byteCount - 1 ? UInt8.random(in: 0xFE...0xFF, using: &random) : 0x81
        }
        compare(last, type, width: width, scratch, "the largest exponents")
    }

    @Test("Every 16-bit pattern", arguments: [ElementType.bf16, .f16])
    func everyPattern(_ type: ElementType) {
        let scratch = CodecScratch()
        // Sorted by exponent, so that a block holds few of them and is a cascade.
        for block in 0..<64 {
            let raw = (0..<1_024).flatMap { index -> [UInt8] in
                let value = UInt16(block * 512 + index % 512) | (index < 512 ? 0 : 0x8000)
                return [UInt8(truncatingIfNeeded: value), UInt8(value >> 8)]
            }
            #expect(compare(raw, type, width: 1, scratch, "block \(block)"))
        }
    }

    @Test("Real state", arguments: [ElementType.f16, .bf16], widths)
    func realState(_ type: ElementType, _ width: Int) throws {
        let directory = width == SampleState.rowElements ? Repository.fullStateDirectory : nil
        let sample = try SampleState(directory: directory ?? Repository.sampleDirectory, elementType: type)
        let scratch = CodecScratch()
        var blocks = 0
        for plane in sample.planes.joined() {
            for start in stride(from: 0, to: plane.count, by: Limits.blockBytes) {
                let raw = Array(plane[start..<min(start + Limits.blockBytes, plane.count)])
                blocks += compare(raw, type, width: width, scratch, "block at \(start)") ? 1 : 0
            }
        }
        #expect(blocks > 0 || width != SampleState.rowElements)
    }
}
