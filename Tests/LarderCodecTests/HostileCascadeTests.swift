import LarderCodec
import LarderModel
import LarderTestSupport
import Testing

/// Cascade blocks that an enemy chose, through every kernel: the same verdict, and the same bytes where it is a block.
@Suite("Hostile cascade blocks")
struct HostileCascadeTests {
    static let types: [ElementType] = [.bf16, .f16, .f32]

    /// Runs every kernel on a block; returns whether they took it.
    private func runAll(
        _ block: [UInt8], _ type: ElementType, rawBytes: Int, _ scratch: CodecScratch, _ comment: Comment
    ) -> Bool {
        let expected = CascadeRun.decode(block, type, rawBytes: rawBytes, .plain, scratch)
        for kernel in CascadeKernel.all {
            let decoded = CascadeRun.decode(block, type, rawBytes: rawBytes, kernel, scratch)
            expectSame(decoded, expected, "\(comment), kernel \(kernel.name)")
        }
        return expected != nil
    }

    @Test("Random changes", arguments: types)
    func mutations(_ type: ElementType) {
        var random = SeededGenerator(seed: testSeed("hostile cascade mutations \(type)"))
        let scratch = CodecScratch()
        var (tried, taken) = (0, 0)
        for round in 0..<4_000 {
            let width = [1, 3, 16, 64, 100].randomElement(using: &random)!
            let raw = stateLike(type, count: 1_400 / width * width, width: width, using: &random)
            var block = CascadeRun.encode(raw, type, width: width, .best, scratch)
            if block.isEmpty { continue }
            tried += 1
            let header = type == .f32 ? raw.count / 2 : 0
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let index =
                    Bool.random(using: &random)
                    ? header + Int.random(in: 0..<32, using: &random) : Int.random(in: 0..<block.count, using: &random)
                block[index] =
                    Bool.random(using: &random) ? block[index] &+ 1 : UInt8.random(in: 0...255, using: &random)
            }
            if round % 10 == 0 { block.removeLast(Int.random(in: 1...block.count, using: &random)) }
            taken += runAll(block, type, rawBytes: raw.count, scratch, "round \(round)") ? 1 : 0
        }
        print("hostile cascade mutations \(type): \(taken) of \(tried) decode")
        #expect(tried >= 3_000 && taken > 100 && taken < tried - 100)
    }

    @Test("Blocks of random content whose sizes agree", arguments: types)
    func wellSized(_ type: ElementType) {
        var random = SeededGenerator(seed: testSeed("wellSized \(type)"))
        let scratch = CodecScratch()
        for round in 0..<3_000 {
            let groups = round % 100 == 0 ? 512 : Int.random(in: 1...6, using: &random)
            let block = wellSizedBlock(type, groups: groups, tail: Int.random(in: 0..<256, using: &random), &random)
            _ = runAll(block.bytes, type, rawBytes: block.rawBytes, scratch, "round \(round)")
        }
    }

    @Test("Every code an escape, in every level: the most that a block can ask for", arguments: types)
    func allEscapes(_ type: ElementType) {
        let scratch = CodecScratch()
        var random = SeededGenerator(seed: testSeed("allEscapes \(type)"))
        for groups in [1, 2, 3, 255, type == .f32 ? 256 : 512] {
            let n = UInt32(256 * groups)
            let block = wellSizedBlock(type, groups: groups, tail: 0, counts: [n, n, n, n], codes: 0xFF, &random)
            #expect(runAll(block.bytes, type, rawBytes: block.rawBytes, scratch, "\(groups) groups"))
            // One escape fewer than there are codes for.
            let short = wellSizedBlock(type, groups: groups, tail: 0, counts: [n, n, n, n - 1], codes: 0xFF, &random)
            #expect(!runAll(short.bytes, type, rawBytes: short.rawBytes, scratch, "\(groups) groups, one escape fewer"))
        }
    }

    @Test("Counts that rise, sizes that overflow, forms that are not there", arguments: types)
    func headers(_ type: ElementType) {
        var random = SeededGenerator(seed: testSeed("headers \(type)"))
        let scratch = CodecScratch()
        let raw = stateLike(type, count: 2_048, width: 16, using: &random)
        let block = CascadeRun.encode(raw, type, width: 16, .best, scratch)
        let header = type == .f32 ? raw.count / 2 : 0
        #expect(runAll(block, type, rawBytes: raw.count, scratch, "whole"))
        for offset in [4, 8, 12, 16, 20] {
            for value: UInt32 in [0, 1, 256, 2_047, 2_049, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FF80, 0xFFFF_FFFF] {
                var changed = block
                if changed.word(header + offset) == value { continue }
                changed.setWord(value, at: header + offset)
                #expect(!runAll(changed, type, rawBytes: raw.count, scratch, "\(value) at \(offset)"))
            }
        }
        for (offset, value) in [(0, UInt8(0)), (0, 3), (1, 3), (1, 5), (2, 0), (3, 0x20), (30, 1), (31, 1)] {
            var changed = block
            changed[header + offset] = value
            #expect(!runAll(changed, type, rawBytes: raw.count, scratch, "\(value) at \(offset)"))
        }
        for rawBytes in [0, 2, raw.count - 2, raw.count - 1, raw.count + 1, raw.count + 4, raw.count * 2] {
            #expect(!runAll(block, type, rawBytes: rawBytes, scratch, "\(rawBytes) raw bytes"))
        }
        for other in ElementType.allCases where other != type {
            #expect(!runAll(block, other, rawBytes: raw.count, scratch, "as \(other)"))
        }
    }

    /// A block whose header and length agree; content, and what is not given, at random.
    private func wellSizedBlock(
        _ type: ElementType, groups: Int, tail: Int, counts given: [UInt32]? = nil, codes: UInt8? = nil,
        _ random: inout SeededGenerator
    ) -> (bytes: [UInt8], rawBytes: Int) {
        let groups = type == .f32 ? min(groups, 256) : groups
        let n = 256 * groups
        let full = groups == (type == .f32 ? 256 : 512)
        let values = n + (full ? 0 : tail)
        let width = [1, 3, 64, 192, 8_192].randomElement(using: &random)!
        var counts = given ?? []
        while counts.count < 4 { counts.append(UInt32.random(in: 0...(counts.last ?? UInt32(n)), using: &random)) }
        let codeBytes = n / 4 + counts[..<3].reduce(0) { $0 + (Int($1) + 127) / 128 * 32 }
        var bytes = type == .f32 ? random.bytes(2 * values) : []
        let header = bytes.count
        bytes += [UInt8](repeating: 0, count: 32)
        bytes[header] = type == .f16 ? 2 : 1
        bytes[header + 1] = 4
        bytes[header + 2] = UInt8(width & 255)
        bytes[header + 3] = UInt8(width >> 8)
        bytes.setWord(UInt32(n), at: header + 4)
        for level in 0..<4 { bytes.setWord(counts[level], at: header + 8 + 4 * level) }
        for index in 24..<30 { bytes[header + index] = UInt8.random(in: 0...255, using: &random) }
        bytes += random.bytes(width + n + (type == .f16 ? groups * 96 : 0))
        bytes += codes.map { [UInt8](repeating: $0, count: codeBytes) } ?? random.bytes(codeBytes)
        bytes += random.bytes(Int(counts[3]) + 2 * (values - n))
        return (bytes, values * type.byteCount)
    }
}
