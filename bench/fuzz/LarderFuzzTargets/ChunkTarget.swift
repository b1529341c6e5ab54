import LarderCodec
import LarderModel

extension FuzzTarget {
    /// A stored chunk. The first byte says whether its checksums are made to hold, so that what they guard is reached;
    /// the next two choose layers. Decoding ends in damage or in bytes, the same whether all layers are read or some.
    static let chunk = FuzzTarget("chunk", inputBytes: 256 << 10) { input in try ChunkCheck.shared.check(input) }
}

/// For one thread at a time.
private final class ChunkCheck: @unchecked Sendable {
    static let shared = ChunkCheck()
    /// Longer ones are not decoded: a table of a few KiB can ask for 256 MiB.
    private static let outputBytes = 4 << 20
    /// Chunks of more layers are not read layer by layer.
    private static let separateLayers = 16

    private let stored = GuardedMemory(capacity: 256 << 10)
    private let output = GuardedMemory(capacity: outputBytes)
    private let scratch = CodecScratch()

    func check(_ input: UnsafeRawBufferPointer) throws {
        var choices = Choices(input)
        let isMended = choices.byte() & 1 == 1
        let (first, last) = (choices.byte(), choices.byte())
        let bytes = stored.room(choices.rest.count)
        bytes.copyMemory(from: choices.rest)
        let blobID = StoredChunk.identity(of: UnsafeRawBufferPointer(bytes)) ?? 7
        if isMended { Self.mend(bytes, blobID) }
        let chunk: StoredChunk
        do throws(ChunkDamage) { chunk = try StoredChunk(UnsafeRawBufferPointer(bytes), blobID: blobID) } catch {
            return try require(!"\(error)".isEmpty, "damage without a word")
        }
        try check(chunk, layers: first % chunk.shape.layers..<chunk.shape.layers - last % chunk.shape.layers)
        try stored.requireUntouched()
    }

    private func check(_ chunk: StoredChunk, layers: Range<Int>) throws {
        let shape = chunk.shape
        let sums = chunk.bytesByEncoding().values.reduce(0) { $0 + $1.raw }
        try require(sums == shape.rawBytes, "blocks of \(sums) bytes in a chunk of \(shape.rawBytes)")
        let part = layers.count * shape.layerBytes <= Self.outputBytes ? try decode(chunk, layers) : nil
        guard shape.rawBytes <= Self.outputBytes else { return }
        let whole = try decode(chunk, 0..<shape.layers)
        if let whole {
            let expected = whole[layers.lowerBound * shape.layerBytes..<layers.upperBound * shape.layerBytes]
            try requireSame(part ?? [], expected, "layers \(layers)")
            try checkCopy(chunk, whole)
        }
        guard shape.layers <= Self.separateLayers else { return }
        var isWhole = true
        for layer in 0..<shape.layers {
            guard let one = try decode(chunk, layer..<layer + 1) else {
                isWhole = false
                continue
            }
            guard let whole else { continue }
            try requireSame(
                one, whole[layer * shape.layerBytes..<(layer + 1) * shape.layerBytes], "layer \(layer) by itself")
        }
        try require(isWhole == (whole != nil), "a chunk and its layers are not damaged alike")
    }

    /// What the compactor does: the same chunk under another identity.
    private func checkCopy(_ chunk: StoredChunk, _ raw: [UInt8]) throws {
        let copy = try EncodedChunk(copying: chunk)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: copy.byteCount, alignment: 16)
        defer { room.deallocate() }
        copy.write(to: room.baseAddress!, blobID: 99)
        let moved = try StoredChunk(UnsafeRawBufferPointer(room), blobID: 99)
        try requireSame(try decode(moved, 0..<moved.shape.layers) ?? [], raw, "a copied chunk")
    }

    /// The bytes of layers; nil if they are damaged.
    private func decode(_ chunk: StoredChunk, _ layers: Range<Int>) throws -> [UInt8]? {
        let room = output.room(layers.count * chunk.shape.layerBytes)
        do throws(ChunkDamage) { try chunk.decode(layers: layers, into: room, scratch: scratch) } catch {
            try output.requireUntouched()
            return nil
        }
        try output.requireUntouched()
        return Array(room)
    }

    /// Makes the checksums hold, and the last block end where the bytes do, as far as the table can be understood.
    private static func mend(_ chunk: UnsafeMutableRawBufferPointer, _ blobID: UInt64) {
        guard chunk.count >= ChunkHeader.byteCount else { return }
        let blocks = Int(chunk.word(40))
        guard blocks <= Limits.blocksPerChunk, ChunkHeader.overhead(blocks: blocks) <= chunk.count else { return }
        var start = ChunkHeader.overhead(blocks: blocks)
        for block in 0..<blocks {
            let entry = ChunkHeader.overhead(blocks: block)
            if block == blocks - 1 { chunk.setWord(UInt32(chunk.count - start), at: entry + 4) }
            let end = start + Int(chunk.word(entry + 4))
            guard end <= chunk.count else { break }
            let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: chunk[start..<end]))
            chunk.setWord(checksum, at: entry + 8)
            start = end
        }
        ChunkHeader.stamp(chunk.baseAddress!, blocks: blocks, blobID: blobID)
    }
}
