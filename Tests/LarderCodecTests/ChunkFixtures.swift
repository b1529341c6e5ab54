import LarderCodec
import LarderModel
import LarderTestSupport
import Testing

/// Encodes and completes a chunk in memory of exactly the bound.
func encodeChunk(
    _ raw: [UInt8], _ shape: ChunkShape, _ choice: EncodingChoice, blobID: UInt64 = 7,
    scratch: CodecScratch = CodecScratch()
) -> [UInt8] {
    let output = UnsafeMutableRawBufferPointer.allocate(byteCount: ChunkEncoder.bound(shape), alignment: 1)
    defer { output.deallocate() }
    let count = raw.withUnsafeBytes {
        ChunkEncoder.encode($0, shape: shape, choice: choice, into: output, scratch: scratch)
    }
    ChunkHeader.stamp(output.baseAddress!, blocks: shape.blockCount, blobID: blobID)
    return Array(output[..<count])
}

/// Decodes layers of a chunk, all by default, from and into memory of exactly the right size.
func decodeChunk(
    _ bytes: [UInt8], blobID: UInt64 = 7, layers: Range<Int>? = nil, scratch: CodecScratch = CodecScratch()
) throws(ChunkDamage) -> [UInt8] {
    let input = copied(bytes)
    defer { input.deallocate() }
    let chunk = try StoredChunk(UnsafeRawBufferPointer(input), blobID: blobID)
    let layers = layers ?? 0..<chunk.shape.layers
    let output = UnsafeMutableRawBufferPointer.allocate(byteCount: layers.count * chunk.shape.layerBytes, alignment: 1)
    defer { output.deallocate() }
    try chunk.decode(layers: layers, into: output, scratch: scratch)
    return Array(output)
}

/// Expects equal bytes; names the first that differ, where `#expect` would print them all.
func expectSame(
    _ found: [UInt8]?, _ expected: [UInt8]?, _ comment: @autoclosure () -> String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    if found == expected { return }
    var difference = "one is missing"
    if let found, let expected {
        let index = zip(found, expected).enumerated().first { $1.0 != $1.1 }?.offset
        difference =
            "\(found.count) and \(expected.count) bytes differ from \(index ?? min(found.count, expected.count)) on"
    }
    Issue.record("\(difference) \(comment())", sourceLocation: sourceLocation)
}

/// A copy in memory of its own, so that the sanitizer sees a byte too far.
func copied(_ bytes: [UInt8]) -> UnsafeMutableRawBufferPointer {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    memory.copyBytes(from: bytes)
    return memory
}

/// Where a block lies, read from the bytes of a chunk without the codec.
struct BlockPlace {
    let stored: Range<Int>
    let raw: Range<Int>
    let encoding: UInt8

    /// The blocks of a whole chunk.
    static func all(in chunk: [UInt8]) -> [BlockPlace] {
        let blocks = Int(chunk.word(40))
        var stored = 64 + 16 * blocks
        var raw = 0
        return (0..<blocks).map { block in
            let (rawBytes, storedBytes) = (Int(chunk.word(64 + 16 * block)), Int(chunk.word(68 + 16 * block)))
            defer {
                raw += rawBytes
                stored += storedBytes
            }
            return BlockPlace(
                stored: stored..<stored + storedBytes, raw: raw..<raw + rawBytes, encoding: chunk[76 + 16 * block])
        }
    }
}

extension [UInt8] {
    /// The little-endian u32 at `offset`.
    func word(_ offset: Int) -> UInt32 {
        withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    }

    /// Overwrites the u32 at `offset`.
    mutating func setWord(_ value: UInt32, at offset: Int) {
        withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self) }
    }

    /// Makes the checksums of a chunk's blocks and header those of its bytes, whatever these are.
    mutating func restamp(_ places: [BlockPlace], blobID: UInt64 = 7) {
        for (block, place) in places.enumerated() {
            let checksum = withUnsafeBytes {
                CRC32C.softwareChecksum(UnsafeRawBufferPointer(rebasing: $0[place.stored]))
            }
            setWord(checksum, at: 72 + 16 * block)
        }
        withUnsafeMutableBytes { ChunkHeader.stamp($0.baseAddress!, blocks: places.count, blobID: blobID) }
    }
}

extension ChunkShape {
    /// One layer of one plane.
    static func plane(_ elementType: ElementType, rows: Int, width: Int) -> ChunkShape {
        ChunkShape(
            elementType: elementType, tokens: UInt32(rows), layers: 1, planes: 1, rows: rows,
            rowBytes: width * elementType.byteCount)
    }
}

/// Little-endian values of a type that the cascade serves, like state: a channel has an exponent of its own, half of its
/// values have one less, a quarter two less, and so on.
func stateLike(
    _ elementType: ElementType, count: Int, width: Int, using random: inout SeededGenerator
) -> [UInt8] {
    let (mantissaBits, exponentBits) = elementType == .f16 ? (10, 5) : elementType == .bf16 ? (7, 8) : (23, 8)
    let middle = 1 << (exponentBits - 1)
    let centers = (0..<width).map { _ in middle + Int.random(in: 0..<8, using: &random) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count * elementType.byteCount)
    for index in 0..<count {
        let word = random.next()
        let exponent = centers[index % width] - min((word & 0xFFFF).trailingZeroBitCount, 12)
        let value =
            UInt32(truncatingIfNeeded: word >> 63) << UInt32(mantissaBits + exponentBits)
            | UInt32(exponent) << UInt32(mantissaBits) | UInt32(truncatingIfNeeded: word >> 17)
            & (1 << UInt32(mantissaBits) - 1)
        for byte in 0..<elementType.byteCount { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))) }
    }
    return bytes
}
