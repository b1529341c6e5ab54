// The exponent cascade: an exact codec for 16-bit floats (Docs/FORMAT.md, "Cascade block"). Sign and mantissa are
// stored raw; the exponent, less its channel's own base, is coded in 2 bits, and what does not fit falls to the next of
// four levels. This file owns the block's layout and every check of hostile input; the loops over values are the
// kernels' (`CascadeKernel`). A block of 32-bit floats is its low halves, verbatim, and a cascade of its high halves,
// which are bf16.
import LarderModel

package enum Cascade {
    /// Channels beyond which a row counts as having no channels.
    package static let widthLimit = 8_192
    private static let levels = 4
    private static let headerBytes = 32
    private static let groupValues = 256

    package static func serves(_ elementType: ElementType) -> Bool {
        elementType == .bf16 || elementType == .f16 || elementType == .f32
    }

    /// Encodes a block into `output`; 0 where that would not save bytes.
    ///
    /// - Parameter width: elements of a row, whose exponents share a base each.
    package static func encode(
        _ input: UnsafeRawBufferPointer, elementType: ElementType, width: Int,
        into output: UnsafeMutableRawBufferPointer,
        scratch: CodecScratch, kernel: CascadeKernel = .best
    ) -> Int {
        guard elementType == .f32 else {
            return encode16(
                input, isF16: elementType == .f16, width: width, into: output, limit: input.count, scratch: scratch,
                kernel: kernel)
        }
        let count = input.count / 4
        guard count > 0, output.count >= 2 * count else { return 0 }
        for index in 0..<count {
            let value = UInt32(littleEndian: input.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
            output.storeBytes(
                of: UInt16(truncatingIfNeeded: value).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
            scratch.halves.storeBytes(of: UInt16(value >> 16).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
        }
        let high = encode16(
            UnsafeRawBufferPointer(rebasing: scratch.halves[..<(2 * count)]), isF16: false, width: width,
            into: UnsafeMutableRawBufferPointer(rebasing: output[(2 * count)...]), limit: 2 * count, scratch: scratch,
            kernel: kernel)
        return high == 0 ? 0 : 2 * count + high
    }

    /// Decodes a block into exactly `output`; false if the block is not whole, and then `output` is undefined.
    package static func decode(
        _ input: UnsafeRawBufferPointer, elementType: ElementType, into output: UnsafeMutableRawBufferPointer,
        scratch: CodecScratch, kernel: CascadeKernel = .best
    ) -> Bool {
        guard serves(elementType), output.count % elementType.byteCount == 0 else { return false }
        guard elementType == .f32 else {
            return decode16(input, isF16: elementType == .f16, into: output, scratch: scratch, kernel: kernel)
        }
        let count = output.count / 4
        guard input.count >= 2 * count, 2 * count <= scratch.halves.count else { return false }
        let halves = UnsafeMutableRawBufferPointer(rebasing: scratch.halves[..<(2 * count)])
        let high = UnsafeRawBufferPointer(rebasing: input[(2 * count)...])
        guard decode16(high, isF16: false, into: halves, scratch: scratch, kernel: kernel) else { return false }
        for index in 0..<count {
            let low = UInt16(littleEndian: input.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
            let top = UInt16(littleEndian: halves.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
            output.storeBytes(
                of: (UInt32(top) << 16 | UInt32(low)).littleEndian, toByteOffset: 4 * index, as: UInt32.self)
        }
        return true
    }

    // MARK: 16-bit values

    private static func encode16(
        _ input: UnsafeRawBufferPointer, isF16: Bool, width rowWidth: Int, into output: UnsafeMutableRawBufferPointer,
        limit: Int, scratch: CodecScratch, kernel: CascadeKernel
    ) -> Int {
        let count = input.count / 2 / groupValues * groupValues
        let width = rowWidth >= 1 && rowWidth <= widthLimit && rowWidth <= count ? rowWidth : 1
        let parts = Parts(count: count, width: width, isF16: isF16)
        let tail = input.count - 2 * count
        guard count > 0, count <= CodecScratch.values, parts.levels + tail < min(limit, output.count) else { return 0 }

        let raw = input.baseAddress!.assumingMemoryBound(to: UInt8.self)
        let out = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
        var ranked = (UInt64(0), UInt64(0))
        var rankOfX = (UInt64(0), UInt64(0))
        let room = min(limit, output.count) - tail
        return withUnsafeMutableBytes(of: &ranked) { ranked in
            withUnsafeMutableBytes(of: &rankOfX) { rankOfX in
                let ranked = ranked.bindMemory(to: UInt8.self).baseAddress!
                let ranks = rankOfX.bindMemory(to: UInt8.self).baseAddress!
                kernel.model(isF16, raw, count, width, out + headerBytes, ranked, ranks)
                let period = CascadeKernel.extend(out + headerBytes, width, into: scratch.bases)
                var escapes = (scratch.escapes.0, scratch.escapes.1)
                var counts: [4 of UInt32] = [0, 0, 0, 0]
                var position = parts.levels
                var left = kernel.encode0(
                    isF16, raw, count, scratch.bases, period, ranks, out + parts.low, out + parts.high,
                    out + parts.codes, escapes.0)
                counts[0] = UInt32(left)
                for level in 1..<levels {
                    let codeBytes = (left + 127) / 128 * 32
                    if position + codeBytes >= room { return 0 }
                    left = kernel.encodeLevel(level, escapes.0, left, ranks, out + position, escapes.1)
                    counts[level] = UInt32(left)
                    position += codeBytes
                    swap(&escapes.0, &escapes.1)
                }
                if position + left >= room { return 0 }
                (out + position).update(from: escapes.0, count: left)
                position += left
                (out + position).update(from: raw + 2 * count, count: tail)
                writeHeader(out, isF16: isF16, width: width, count: count, counts: counts, ranked: ranked)
                return position + tail
            }
        }
    }

    private static func writeHeader(
        _ out: UnsafeMutablePointer<UInt8>, isF16: Bool, width: Int, count: Int, counts: [4 of UInt32],
        ranked: UnsafePointer<UInt8>
    ) {
        let header = UnsafeMutableRawPointer(out)
        out[0] = isF16 ? 2 : 1
        out[1] = UInt8(levels)
        header.storeBytes(of: UInt16(width).littleEndian, toByteOffset: 2, as: UInt16.self)
        header.storeBytes(of: UInt32(count).littleEndian, toByteOffset: 4, as: UInt32.self)
        for level in 0..<levels {
            header.storeBytes(of: counts[level].littleEndian, toByteOffset: 8 + 4 * level, as: UInt32.self)
        }
        for pair in 0..<6 { out[24 + pair] = ranked[2 * pair] | ranked[2 * pair + 1] << 4 }
        out[30] = 0
        out[31] = 0
    }

    private static func decode16(
        _ input: UnsafeRawBufferPointer, isF16: Bool, into output: UnsafeMutableRawBufferPointer, scratch: CodecScratch,
        kernel: CascadeKernel
    ) -> Bool {
        guard input.count >= headerBytes else { return false }
        let block = input.baseAddress!.assumingMemoryBound(to: UInt8.self)
        func load<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> Int {
            Int(T(littleEndian: input.loadUnaligned(fromByteOffset: offset, as: T.self)))
        }
        let width = load(2, UInt16.self)
        let count = load(4, UInt32.self)
        let counts: [4 of Int] = [
            load(8, UInt32.self), load(12, UInt32.self), load(16, UInt32.self), load(20, UInt32.self),
        ]
        guard block[0] == (isF16 ? 2 : 1), block[1] == UInt8(levels), block[30] == 0, block[31] == 0,
            (1...widthLimit).contains(width), count > 0, count % groupValues == 0, count <= CodecScratch.values,
            count == output.count / 2 / groupValues * groupValues,
            counts[0] <= count, counts[1] <= counts[0], counts[2] <= counts[1], counts[3] <= counts[2]
        else { return false }

        let parts = Parts(count: count, width: width, isF16: isF16)
        let codeBytes: [4 of Int] = [
            0, (counts[0] + 127) / 128 * 32, (counts[1] + 127) / 128 * 32, (counts[2] + 127) / 128 * 32,
        ]
        let lastEscapes = parts.levels + codeBytes[1] + codeBytes[2] + codeBytes[3]
        let tail = output.count - 2 * count
        guard input.count == lastEscapes + counts[3] + tail else { return false }

        var xOfRank = (UInt64(0), UInt64(0))
        return withUnsafeMutableBytes(of: &xOfRank) { table in
            let table = table.bindMemory(to: UInt8.self).baseAddress!
            for pair in 0..<6 {
                table[2 * pair] = block[24 + pair] & 15
                table[2 * pair + 1] = block[24 + pair] >> 4
            }
            let period = CascadeKernel.extend(block + headerBytes, width, into: scratch.bases)
            var lists = (scratch.escapes.0, scratch.escapes.1)
            lists.0.update(from: block + lastEscapes, count: counts[3])
            var position = lastEscapes
            for level in [3, 2, 1] {
                position -= codeBytes[level]
                let eaten = kernel.decodeLevel(level, block + position, counts[level - 1], lists.0, table, lists.1)
                if eaten != counts[level] { return false }
                swap(&lists.0, &lists.1)
            }
            let raw = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
            let eaten = kernel.decode0(
                isF16, block + parts.low, block + parts.high, block + parts.codes, count, lists.0, scratch.bases,
                period, table, raw)
            (raw + 2 * count).update(from: block + lastEscapes + counts[3], count: tail)
            return eaten == counts[0]
        }
    }

    /// Where the parts of a block of 16-bit values lie.
    private struct Parts {
        let low: Int
        let high: Int
        let codes: Int
        let levels: Int

        init(count: Int, width: Int, isF16: Bool) {
            low = headerBytes + width
            high = low + count
            codes = high + (isF16 ? count / 256 * 96 : 0)
            levels = codes + count / 4
        }
    }
}
