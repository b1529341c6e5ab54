import LarderModel

/// A stored chunk whose header and table were checked: the way to its blocks.
///
/// Points into the bytes it was made of, which must outlive it.
public struct StoredChunk {
    private let bytes: UnsafeRawBufferPointer
    /// Layout of the raw bytes.
    public let shape: ChunkShape

    /// Checks the header, the table and the sizes of `bytes`. Block contents are checked as they are decoded.
    ///
    /// - Parameter blobID: the identity under which the chunk was looked up.
    public init(_ bytes: UnsafeRawBufferPointer, blobID: UInt64) throws(ChunkDamage) {
        func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        guard bytes.count >= ChunkHeader.byteCount else {
            throw .length(expected: ChunkHeader.byteCount, found: bytes.count)
        }
        guard get(0, UInt32.self) == ChunkHeader.magic else { throw .magic(get(0, UInt32.self)) }
        guard get(4, UInt16.self) == ChunkHeader.version else { throw .version(get(4, UInt16.self)) }
        let blocks = Int(get(40, UInt32.self))
        let overhead = ChunkHeader.overhead(blocks: blocks)
        guard blocks <= Limits.blocksPerChunk else { throw .shape }
        guard bytes.count >= overhead else { throw .length(expected: overhead, found: bytes.count) }
        guard get(60, UInt32.self) == ChunkHeader.checksum(bytes.baseAddress!, blocks: blocks) else {
            throw .headerChecksum
        }
        guard get(8, UInt64.self) == blobID else { throw .identity(expected: blobID, found: get(8, UInt64.self)) }
        guard let elementType = ElementType(rawValue: get(6, UInt8.self)) else { throw .shape }
        shape = ChunkShape(
            elementType: elementType, tokens: get(24, UInt32.self), layers: Int(get(28, UInt32.self)),
            planes: Int(get(32, UInt32.self)), rows: Int(get(44, UInt32.self)), rowBytes: Int(get(36, UInt32.self)))
        guard shape.isWithinLimits, shape.blockCount == blocks, UInt64(shape.rawBytes) == get(16, UInt64.self) else {
            throw .shape
        }
        self.bytes = bytes
        var end = overhead
        for block in 0..<blocks {
            let entry = entry(block)
            guard Int(entry.rawBytes) == shape.blockRange(block).count, Encoding(rawValue: entry.encoding) != nil else {
                throw .shape
            }
            end += Int(entry.storedBytes)
        }
        guard end == bytes.count else { throw .length(expected: end, found: bytes.count) }
    }

    /// The identity that the header of stored bytes names, unchecked; nil if they cannot be a chunk.
    public static func identity(of bytes: UnsafeRawBufferPointer) -> UInt64? {
        guard bytes.count >= ChunkHeader.byteCount,
            UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)) == ChunkHeader.magic
        else { return nil }
        return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// Stored bytes by encoding and raw bytes by encoding, summed over the blocks.
    public func bytesByEncoding() -> [Encoding: (raw: Int, stored: Int)] {
        var sums: [Encoding: (raw: Int, stored: Int)] = [:]
        for block in 0..<shape.blockCount {
            let entry = entry(block)
            guard let encoding = Encoding(rawValue: entry.encoding) else { continue }
            sums[encoding, default: (0, 0)].raw += Int(entry.rawBytes)
            sums[encoding, default: (0, 0)].stored += Int(entry.storedBytes)
        }
        return sums
    }

    /// Decodes a range of layers into `output`, which holds exactly their raw bytes. On damage its content is undefined.
    public func decode(
        layers: Range<Int>, into output: UnsafeMutableRawBufferPointer, scratch: CodecScratch
    ) throws(ChunkDamage) {
        precondition(layers.lowerBound >= 0 && layers.upperBound <= shape.layers, "layers beyond the chunk")
        precondition(output.count == layers.count * shape.layerBytes, "output of another size than the layers")
        let origin = layers.lowerBound * shape.layerBytes
        var blocks = blocks(ofLayers: layers)
        while let block = blocks.next(belowLayer: layers.upperBound) {
            let target = UnsafeMutableRawBufferPointer(
                rebasing: output[block.rawRange.lowerBound - origin..<block.rawRange.upperBound - origin])
            try block.decode(into: target, scratch: scratch)
        }
    }

    /// The blocks of a range of layers, in order.
    public func blocks(ofLayers layers: Range<Int>) -> StoredBlocks {
        precondition(layers.lowerBound >= 0 && layers.upperBound <= shape.layers, "layers beyond the chunk")
        return StoredBlocks(bytes, shape, shape.blocks(ofLayers: layers))
    }

    private func entry(_ block: Int) -> BlockEntry {
        BlockEntry(bytes.baseAddress! + ChunkHeader.byteCount + block * BlockEntry.byteCount)
    }
}
