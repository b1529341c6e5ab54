import LarderModel

/// A chunk on its way from raw bytes to the store: encoded block by block, by several threads at once if need be.
///
/// Each block has a slot as long as its raw bytes, so that none waits for another; ``write(to:blobID:)`` closes the gaps.
public final class EncodedChunk: @unchecked Sendable {
    /// Layout of the raw bytes.
    public let shape: ChunkShape
    /// Bytes that the chunk takes in the store. Known after ``finish()``.
    public private(set) var byteCount = 0
    /// The encoding of most of its raw bytes. Known after ``finish()``.
    public private(set) var encoding = Encoding.raw
    /// Header, table and slots.
    private let memory: UnsafeMutableRawBufferPointer

    /// Takes memory for a chunk of this shape: ``ChunkEncoder/bound(_:)`` bytes.
    public init(_ shape: ChunkShape) {
        precondition(shape.isWithinLimits, "shape beyond the limits")
        self.shape = shape
        // Of malloc's own alignment: what memalign leaves behind is too small for its next block of the same size.
        memory = .allocate(byteCount: ChunkEncoder.bound(shape), alignment: 16)
        ChunkHeader.write(shape, to: memory.baseAddress!)
    }

    /// A copy of a stored chunk, to be written under another identity. Throws if its table does not hold; the blocks'
    /// contents are copied as they are.
    public convenience init(copying stored: StoredChunk) throws(ChunkDamage) {
        self.init(stored.shape)
        var blocks = stored.blocks(ofLayers: 0..<shape.layers)
        while let block = blocks.next(belowLayer: shape.layers) {
            let slot = slot(block.number)
            guard block.stored.count <= slot.count else { throw .shape }
            UnsafeMutableRawBufferPointer(rebasing: memory[slot]).copyMemory(from: block.stored)
            block.entry.write(to: memory.baseAddress! + ChunkHeader.byteCount + block.number * BlockEntry.byteCount)
        }
        finish()
    }

    deinit { memory.deallocate() }

    /// Keeps a copy of one raw block in its slot, to be encoded later. Different blocks may be kept by different threads.
    ///
    /// - Parameter raw: the raw bytes of the whole chunk.
    public func keep(block: Int, of raw: UnsafeRawBufferPointer) {
        precondition(raw.count == shape.rawBytes, "raw bytes of another size than the shape")
        let input = UnsafeRawBufferPointer(rebasing: raw[shape.blockRange(block)])
        UnsafeMutableRawBufferPointer(rebasing: memory[slot(block)]).copyMemory(from: input)
    }

    /// Encodes one block. Different blocks may be encoded by different threads at the same time.
    ///
    /// - Parameter raw: the raw bytes of the whole chunk; nil for the copy that ``keep(block:of:)`` made. They may change
    ///   while they are read (shared memory): what is stored then is undefined, but whole.
    public func encode(block: Int, of raw: UnsafeRawBufferPointer?, choice: EncodingChoice, scratch: CodecScratch) {
        precondition(raw.map { $0.count == shape.rawBytes } ?? true, "raw bytes of another size than the shape")
        let target = UnsafeMutableRawBufferPointer(rebasing: memory[slot(block)])
        let input: UnsafeRawBufferPointer
        if let raw {
            input = UnsafeRawBufferPointer(rebasing: raw[shape.blockRange(block)])
        } else {
            scratch.raw.copyMemory(from: UnsafeRawBufferPointer(target))
            input = UnsafeRawBufferPointer(rebasing: scratch.raw[..<target.count])
        }
        ChunkEncoder.encode(block: input, shape: shape, choice: choice, into: target, scratch: scratch)
            .write(to: memory.baseAddress! + ChunkHeader.byteCount + block * BlockEntry.byteCount)
    }

    /// Adds up what the blocks take. Call once, after all of them.
    public func finish() {
        byteCount = ChunkHeader.overhead(blocks: shape.blockCount)
        var raw: [4 of Int] = [0, 0, 0, 0]
        for block in 0..<shape.blockCount {
            let entry = entry(block)
            byteCount += Int(entry.storedBytes)
            raw[Int(entry.encoding)] += Int(entry.rawBytes)
        }
        encoding = Encoding.allCases.max { raw[Int($0.rawValue)] < raw[Int($1.rawValue)] }!
    }

    /// Writes the chunk, ``byteCount`` bytes, under its identity.
    public func write(to room: UnsafeMutableRawPointer, blobID: UInt64) {
        let blocks = shape.blockCount
        var offset = ChunkHeader.overhead(blocks: blocks)
        room.copyMemory(from: memory.baseAddress!, byteCount: offset)
        for block in 0..<blocks {
            let count = Int(entry(block).storedBytes)
            (room + offset).copyMemory(from: memory.baseAddress! + slot(block).lowerBound, byteCount: count)
            offset += count
        }
        ChunkHeader.stamp(room, blocks: blocks, blobID: blobID)
    }

    private func slot(_ block: Int) -> Range<Int> {
        let range = shape.blockRange(block)
        let start = ChunkHeader.overhead(blocks: shape.blockCount)
        return start + range.lowerBound..<start + range.upperBound
    }

    private func entry(_ block: Int) -> BlockEntry {
        BlockEntry(memory.baseAddress! + ChunkHeader.byteCount + block * BlockEntry.byteCount)
    }
}
