import LarderCodec
import LarderModel

/// Whether two stored chunks, or a stored chunk and raw bytes, say the same. Layer by layer, so that memory stays small.
enum ChunkComparison {
    typealias Stored = (bytes: UnsafeRawBufferPointer, blobID: UInt64)

    static func areEqual(_ first: Stored, _ second: Stored, scratch: CodecScratch) -> Bool {
        guard let one = try? StoredChunk(first.bytes, blobID: first.blobID),
            let other = try? StoredChunk(second.bytes, blobID: second.blobID), one.shape == other.shape
        else { return false }
        let layer = UnsafeMutableRawBufferPointer.allocate(byteCount: one.shape.layerBytes, alignment: 64)
        defer { layer.deallocate() }
        for index in 0..<one.shape.layers {
            guard (try? other.decode(layers: index..<index + 1, into: layer, scratch: scratch)) != nil,
                isLayer(index, of: one, equalTo: UnsafeRawBufferPointer(layer), scratch: scratch)
            else { return false }
        }
        return true
    }

    static func isEqual(_ stored: StoredChunk, to raw: UnsafeRawBufferPointer, scratch: CodecScratch) -> Bool {
        guard stored.shape.rawBytes == raw.count else { return false }
        let bytes = stored.shape.layerBytes
        return (0..<stored.shape.layers).allSatisfy {
            isLayer(
                $0, of: stored, equalTo: UnsafeRawBufferPointer(rebasing: raw[$0 * bytes..<($0 + 1) * bytes]),
                scratch: scratch)
        }
    }

    private static func isLayer(
        _ index: Int, of stored: StoredChunk, equalTo raw: UnsafeRawBufferPointer, scratch: CodecScratch
    ) -> Bool {
        let layer = UnsafeMutableRawBufferPointer.allocate(byteCount: raw.count, alignment: 64)
        defer { layer.deallocate() }
        guard (try? stored.decode(layers: index..<index + 1, into: layer, scratch: scratch)) != nil else {
            return false
        }
        return UnsafeRawBufferPointer(layer).elementsEqual(raw)
    }
}
