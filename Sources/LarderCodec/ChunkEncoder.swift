import LarderModel

/// Encodes chunks (Docs/FORMAT.md).
public enum ChunkEncoder {
    /// The most bytes that a chunk of this shape can take.
    public static func bound(_ shape: ChunkShape) -> Int {
        shape.rawBytes + ChunkHeader.overhead(blocks: shape.blockCount)
    }

    /// Encodes `raw` into `output` and returns the bytes used. ``ChunkHeader/stamp(_:blocks:blobID:)`` completes it.
    ///
    /// - Parameters:
    ///   - raw: exactly `shape.rawBytes` bytes. They may change while they are read (shared memory): what is stored
    ///     then is undefined, but whole: checksums are taken over what was stored.
    ///   - output: at least ``bound(_:)`` bytes.
    public static func encode(
        _ raw: UnsafeRawBufferPointer, shape: ChunkShape, choice: EncodingChoice,
        into output: UnsafeMutableRawBufferPointer, scratch: CodecScratch
    ) -> Int {
        precondition(raw.count == shape.rawBytes, "raw bytes of another size than the shape")
        precondition(output.count >= bound(shape), "output below the bound")
        precondition(shape.isWithinLimits, "shape beyond the limits")
        let start = output.baseAddress!
        ChunkHeader.write(shape, to: start)
        var offset = ChunkHeader.overhead(blocks: shape.blockCount)
        for block in 0..<shape.blockCount {
            let input = UnsafeRawBufferPointer(rebasing: raw[shape.blockRange(block)])
            let target = UnsafeMutableRawBufferPointer(start: start + offset, count: input.count)
            let entry = encode(block: input, shape: shape, choice: choice, into: target, scratch: scratch)
            entry.write(to: start + ChunkHeader.byteCount + block * BlockEntry.byteCount)
            offset += Int(entry.storedBytes)
        }
        return offset
    }

    /// Encodes one block into `target`, which is as long as the raw block.
    static func encode(
        block input: UnsafeRawBufferPointer, shape: ChunkShape, choice: EncodingChoice,
        into target: UnsafeMutableRawBufferPointer, scratch: CodecScratch
    ) -> BlockEntry {
        var encoding = Encoding.raw
        var count = 0
        let width = shape.rowBytes / shape.elementType.byteCount
        for candidate in EncodingSampler.candidates(
            input, elementType: shape.elementType, choice: choice, scratch: scratch)
        {
            switch candidate {
            case .raw: count = 0
            case .lz4:
                // Left to itself, LZ4 must earn its slower decoding: 5 % of the block.
                let room = choice == .auto ? input.count * 19 / 20 : input.count - 1
                count =
                    room > 0 ? LZ4.compress(input, into: UnsafeMutableRawBufferPointer(rebasing: target[..<room])) : 0
            case .cascade:
                count = Cascade.encode(
                    input, elementType: shape.elementType, width: width, into: target, scratch: scratch)
            }
            if count > 0 {
                encoding = candidate
                break
            }
        }
        let checksum: UInt32
        if encoding == .raw {
            count = input.count
            checksum = CRC32C.copy(input, to: target.baseAddress!)
        } else {
            checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: target[..<count]))
        }
        return BlockEntry(rawBytes: input.count, storedBytes: count, checksum: checksum, encoding: encoding)
    }
}
