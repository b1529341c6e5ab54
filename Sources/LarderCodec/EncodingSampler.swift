import LarderModel

/// Decides, from a small sample of a block, which encodings to try and in which order.
///
/// LZ4 finds what repeats (padding, zeros), the cascade what floats have in common. A block is mostly one or the other,
/// and both cost: the sample of 4 KiB costs about a tenth of the cascade.
enum EncodingSampler {
    /// Pieces of the sample and bytes in each.
    private static let pieces = 4
    private static let pieceBytes = 1_024

    static func candidates(
        _ block: UnsafeRawBufferPointer, elementType: ElementType, choice: EncodingChoice, scratch: CodecScratch
    ) -> [Encoding] {
        let cascades = Cascade.serves(elementType)
        switch choice {
        case .raw: return rawOnly
        case .lz4: return lz4Only
        case .cascade: return cascades ? cascadeOnly : rawOnly
        case .auto:
            let share = lz4Share(block, scratch: scratch)
            if cascades { return share < 0.62 ? lz4First : share < 0.9 ? cascadeFirst : cascadeOnly }
            return share < 0.95 ? lz4Only : rawOnly
        }
    }

    // Static, so that choosing does not allocate.
    private static let rawOnly: [Encoding] = [.raw]
    private static let lz4Only: [Encoding] = [.lz4]
    private static let cascadeOnly: [Encoding] = [.cascade]
    private static let lz4First: [Encoding] = [.lz4, .cascade]
    private static let cascadeFirst: [Encoding] = [.cascade, .lz4]

    /// What LZ4 makes of the sample: compressed over raw bytes.
    private static func lz4Share(_ block: UnsafeRawBufferPointer, scratch: CodecScratch) -> Double {
        let whole = pieces * pieceBytes
        let output = UnsafeMutableRawBufferPointer(rebasing: scratch.block[..<(2 * whole)])
        if block.count <= whole {
            if block.isEmpty { return 1 }
            let count = LZ4.compress(block, into: output)
            return count == 0 ? 1 : Double(count) / Double(block.count)
        }
        let sample = UnsafeMutableRawBufferPointer(rebasing: scratch.halves[..<whole])
        let stride = (block.count - pieceBytes) / (pieces - 1)
        for piece in 0..<pieces {
            UnsafeMutableRawBufferPointer(rebasing: sample[piece * pieceBytes..<(piece + 1) * pieceBytes])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: block[piece * stride..<piece * stride + pieceBytes]))
        }
        let count = LZ4.compress(UnsafeRawBufferPointer(sample), into: output)
        return count == 0 ? 1 : Double(count) / Double(whole)
    }
}
