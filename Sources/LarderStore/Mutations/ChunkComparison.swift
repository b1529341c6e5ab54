import Glibc
import LarderCodec
import LarderModel

/// Whether two stored chunks, or a stored chunk and raw bytes, say the same. Layer by layer, so that memory stays small.
enum ChunkComparison {
    typealias Stored = (bytes: UnsafeRawBufferPointer, blobID: UInt64)

    /// Throws ``LarderCodec/ChunkDamage`` if either cannot be read: then nothing is known of their equality.
    static func areEqual(_ first: Stored, _ second: Stored, scratch: CodecScratch) throws(ChunkDamage) -> Bool {
        let one = try StoredChunk(first.bytes, blobID: first.blobID)
        let other = try StoredChunk(second.bytes, blobID: second.blobID)
        guard one.shape == other.shape else { return false }
        let layer = UnsafeMutableRawBufferPointer.allocate(byteCount: one.shape.layerBytes, alignment: 16)
        defer { layer.deallocate() }
        for index in 0..<one.shape.layers {
            try other.decode(layers: index..<index + 1, into: layer, scratch: scratch)
            guard try isLayer(index, of: one, equalTo: UnsafeRawBufferPointer(layer), scratch: scratch) else {
                return false
            }
        }
        return true
    }

    /// Throws ``LarderCodec/ChunkDamage`` if the stored chunk cannot be read.
    static func isEqual(
        _ stored: StoredChunk, to raw: UnsafeRawBufferPointer, scratch: CodecScratch
    ) throws(ChunkDamage) -> Bool {
        guard stored.shape.rawBytes == raw.count else { return false }
        let bytes = stored.shape.layerBytes
        for index in 0..<stored.shape.layers {
            let layer = UnsafeRawBufferPointer(rebasing: raw[index * bytes..<(index + 1) * bytes])
            guard try isLayer(index, of: stored, equalTo: layer, scratch: scratch) else { return false }
        }
        return true
    }

    private static func isLayer(
        _ index: Int, of stored: StoredChunk, equalTo raw: UnsafeRawBufferPointer, scratch: CodecScratch
    ) throws(ChunkDamage) -> Bool {
        let layer = UnsafeMutableRawBufferPointer.allocate(byteCount: raw.count, alignment: 16)
        defer { layer.deallocate() }
        try stored.decode(layers: index..<index + 1, into: layer, scratch: scratch)
        return memcmp(layer.baseAddress!, raw.baseAddress!, raw.count) == 0
    }
}
