import LarderModel

/// A walk over neighbouring blocks of a stored chunk.
///
/// Points into the bytes of the ``StoredChunk`` that made it, which must outlive it.
public struct StoredBlocks {
    private let bytes: UnsafeRawBufferPointer
    private let shape: ChunkShape
    private let end: Int
    private var block: Int
    private var offset: Int

    init(_ bytes: UnsafeRawBufferPointer, _ shape: ChunkShape, _ range: Range<Int>) {
        self.bytes = bytes
        self.shape = shape
        end = range.upperBound
        block = 0
        offset = ChunkHeader.overhead(blocks: shape.blockCount)
        while block < range.lowerBound { _ = advance() }
    }

    /// The next block, if it belongs to a layer below `layer`.
    public mutating func next(belowLayer layer: Int) -> StoredBlock? {
        guard block < min(end, shape.blocks(ofLayers: 0..<layer).upperBound) else { return nil }
        return advance()
    }

    private mutating func advance() -> StoredBlock {
        let entry = BlockEntry(bytes.baseAddress! + ChunkHeader.byteCount + block * BlockEntry.byteCount)
        let stored = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Int(entry.storedBytes)])
        defer {
            offset += stored.count
            block += 1
        }
        return StoredBlock(
            number: block, entry: entry, stored: stored, elementType: shape.elementType,
            rawRange: shape.blockRange(block))
    }
}

/// One block of a stored chunk. Decodes by itself, on any thread.
public struct StoredBlock: @unchecked Sendable {
    let number: Int
    let entry: BlockEntry
    let stored: UnsafeRawBufferPointer
    let elementType: ElementType
    /// Where it lies in the raw bytes of the chunk.
    public let rawRange: Range<Int>
    /// Bytes that it takes in the chunk.
    public var storedBytes: Int { stored.count }

    /// Decodes into `target`, which holds exactly the block's raw bytes. On damage its content is undefined.
    public func decode(into target: UnsafeMutableRawBufferPointer, scratch: CodecScratch) throws(ChunkDamage) {
        precondition(target.count == rawRange.count, "output of another size than the block")
        if entry.encoding == Encoding.raw.rawValue {
            guard stored.count == target.count else { throw .blockContent(block: number) }
            guard CRC32C.copy(stored, to: target.baseAddress!) == entry.checksum else {
                throw .blockChecksum(block: number)
            }
            return
        }
        guard CRC32C.checksum(stored) == entry.checksum else { throw .blockChecksum(block: number) }
        let whole =
            switch Encoding(rawValue: entry.encoding) {
            case .lz4: LZ4.decompress(stored, into: target)
            case .cascade: Cascade.decode(stored, elementType: elementType, into: target, scratch: scratch)
            default: false
            }
        if !whole { throw .blockContent(block: number) }
    }
}
