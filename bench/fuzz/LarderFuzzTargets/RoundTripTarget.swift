import LarderCodec
import LarderModel

extension FuzzTarget {
    /// Arbitrary bytes in arbitrary shapes: what is encoded, by either way that there is, decodes to the same bytes.
    static let roundTrip = FuzzTarget("round-trip", inputBytes: 64 << 10) { input in
        try RoundTripCheck.shared.check(input)
    }
}

/// For one thread at a time.
private final class RoundTripCheck: @unchecked Sendable {
    static let shared = RoundTripCheck()
    /// Two blocks of a plane, and some.
    private static let rawBytes = 640 << 10

    private let raw = GuardedMemory(capacity: rawBytes)
    private let encoded = GuardedMemory(capacity: rawBytes + (64 << 10))
    private let decoded = GuardedMemory(capacity: rawBytes)
    private let scratch = CodecScratch()

    func check(_ input: UnsafeRawBufferPointer) throws {
        var choices = Choices(input)
        let elementType = ElementType.allCases[choices.byte() % ElementType.allCases.count]
        let choice = EncodingChoice.allCases[choices.byte() % EncodingChoice.allCases.count]
        let shape = Self.shape(elementType, &choices)
        let filling = choices.byte()
        let bytes = raw.room(shape.rawBytes)
        Self.fill(bytes, with: choices.rest, filling)

        let room = encoded.room(ChunkEncoder.bound(shape))
        let count = ChunkEncoder.encode(
            UnsafeRawBufferPointer(bytes), shape: shape, choice: choice, into: room, scratch: scratch)
        try require(count <= room.count, "an encoded chunk of \(count) bytes, above the bound of \(room.count)")
        ChunkHeader.stamp(room.baseAddress!, blocks: shape.blockCount, blobID: 7)
        let stored = UnsafeRawBufferPointer(rebasing: room[..<count])
        let chunk = try StoredChunk(stored, blobID: 7)
        try require(chunk.shape == shape, "another shape than was encoded")
        let output = decoded.room(shape.rawBytes)
        try chunk.decode(layers: 0..<shape.layers, into: output, scratch: scratch)
        try requireSame(output, bytes, "\(shape), \(choice)")
        try checkBlocks(UnsafeRawBufferPointer(bytes), shape, choice, expected: stored)
        for memory in [raw, encoded, decoded] { try memory.requireUntouched() }
    }

    /// The way of the daemon: block by block, some of a copy that was kept.
    private func checkBlocks(
        _ raw: UnsafeRawBufferPointer, _ shape: ChunkShape, _ choice: EncodingChoice, expected: UnsafeRawBufferPointer
    ) throws {
        let chunk = EncodedChunk(shape)
        for block in (0..<shape.blockCount).reversed() {
            let isKept = block % 2 == 0
            if isKept { chunk.keep(block: block, of: raw) }
            chunk.encode(block: block, of: isKept ? nil : raw, choice: choice, scratch: scratch)
        }
        chunk.finish()
        try require(chunk.byteCount == expected.count, "\(chunk.byteCount) bytes by blocks, \(expected.count) at once")
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk.byteCount, alignment: 16)
        defer { room.deallocate() }
        chunk.write(to: room.baseAddress!, blobID: 7)
        try requireSame(room, expected, "a chunk that was encoded by blocks")
    }

    /// A shape within the limits and of at most ``rawBytes``.
    private static func shape(_ elementType: ElementType, _ choices: inout Choices) -> ChunkShape {
        let (layers, planes) = (1 + choices.byte() % 5, 1 + choices.byte() % 3)
        // A row of more than a block is cut, too.
        let width = 1 + Int(choices.number(3)) % (rawBytes / layers / planes / elementType.byteCount)
        let rowBytes = width * elementType.byteCount
        let isState = choices.byte() % 8 == 7
        let most = max(1, rawBytes / layers / planes / rowBytes)
        let rows = isState ? 1 : 1 + Int(choices.number(2)) % most
        return ChunkShape(
            elementType: elementType, tokens: isState ? 0 : UInt32(rows), layers: layers, planes: planes, rows: rows,
            rowBytes: rowBytes)
    }

    /// The input, and then zeroes, or the input again, or the input again but for some bits.
    private static func fill(_ bytes: UnsafeMutableRawBufferPointer, with input: UnsafeRawBufferPointer, _ filling: Int)
    {
        for index in bytes.indices {
            let round = input.isEmpty ? 0 : index / input.count
            let byte: UInt8 = input.isEmpty || (round > 0 && filling % 3 == 0) ? 0 : input[index % input.count]
            let change: UInt8 = filling % 3 == 2 ? UInt8(truncatingIfNeeded: round &* 0x9E) & UInt8(filling) : 0
            bytes[index] = byte ^ change
        }
    }
}
