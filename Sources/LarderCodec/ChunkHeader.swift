import LarderModel

/// What makes a stored chunk unreadable. Each is a miss for the reader and a fact for the admin.
public enum ChunkDamage: Error, Sendable, Hashable, CustomStringConvertible {
    /// Fewer bytes than the header and table need, or than the table adds up to.
    case length(expected: Int, found: Int)
    /// Not a chunk.
    case magic(UInt32)
    /// A version of the format that this program does not read.
    case version(UInt16)
    /// The header's own checksum fails.
    case headerChecksum
    /// The header is whole but belongs to another chunk.
    case identity(expected: UInt64, found: UInt64)
    /// The header is whole but its fields contradict each other or the limits.
    case shape
    /// A block's checksum fails.
    case blockChecksum(block: Int)
    /// A block's checksum holds but its bytes do not decode.
    case blockContent(block: Int)

    /// One sentence for a person.
    public var description: String {
        switch self {
        case .length(let expected, let found): "it has \(found) bytes where \(expected) are needed"
        case .magic(let value): "it begins with \(String(value, radix: 16)), which is no chunk"
        case .version(let value): "it is of chunk format \(value); this program reads \(ChunkHeader.version)"
        case .headerChecksum: "the checksum of its header fails"
        case .identity(let expected, let found): "it is blob \(found) where \(expected) was expected"
        case .shape: "its header contradicts itself"
        case .blockChecksum(let block): "the checksum of block \(block) fails"
        case .blockContent(let block): "block \(block) does not decode"
        }
    }
}

/// One entry of the block table.
struct BlockEntry {
    var rawBytes: UInt32
    var storedBytes: UInt32
    var checksum: UInt32
    var encoding: UInt8

    static let byteCount = 16

    func write(to pointer: UnsafeMutableRawPointer) {
        pointer.storeBytes(of: rawBytes.littleEndian, toByteOffset: 0, as: UInt32.self)
        pointer.storeBytes(of: storedBytes.littleEndian, toByteOffset: 4, as: UInt32.self)
        pointer.storeBytes(of: checksum.littleEndian, toByteOffset: 8, as: UInt32.self)
        pointer.storeBytes(of: UInt32(encoding).littleEndian, toByteOffset: 12, as: UInt32.self)
    }

    init(rawBytes: Int, storedBytes: Int, checksum: UInt32, encoding: Encoding) {
        self.rawBytes = UInt32(rawBytes)
        self.storedBytes = UInt32(storedBytes)
        self.checksum = checksum
        self.encoding = encoding.rawValue
    }

    init(_ pointer: UnsafeRawPointer) {
        rawBytes = UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        storedBytes = UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        checksum = UInt32(littleEndian: pointer.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        encoding = pointer.load(fromByteOffset: 12, as: UInt8.self)
    }
}

/// The fixed part of a stored chunk (Docs/FORMAT.md, "Chunk header"): 64 bytes, then the block table, then the blocks.
public enum ChunkHeader {
    /// "LCK1".
    static let magic: UInt32 = 0x314B_434C
    /// Version of the chunk format.
    public static let version: UInt16 = 1
    /// Bytes before the block table.
    public static let byteCount = 64

    /// Bytes of the header and the table of a chunk of `blocks` blocks: all that a chunk may take beyond its raw bytes.
    public static func overhead(blocks: Int) -> Int { byteCount + blocks * BlockEntry.byteCount }

    static func write(_ shape: ChunkShape, to chunk: UnsafeMutableRawPointer) {
        func put<T: FixedWidthInteger>(_ value: T, _ offset: Int) {
            chunk.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        }
        chunk.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        put(magic, 0)
        put(version, 4)
        put(shape.elementType.rawValue, 6)
        put(UInt64(shape.rawBytes), 16)
        put(shape.tokens, 24)
        put(UInt32(shape.layers), 28)
        put(UInt32(shape.planes), 32)
        put(UInt32(shape.rowBytes), 36)
        put(UInt32(shape.blockCount), 40)
        put(UInt32(shape.rows), 44)
    }

    /// Writes the chunk's identity and the header's checksum: the last step before a chunk is stored.
    ///
    /// - Parameter chunk: an encoded chunk of `blocks` blocks.
    public static func stamp(_ chunk: UnsafeMutableRawPointer, blocks: Int, blobID: UInt64) {
        chunk.storeBytes(of: blobID.littleEndian, toByteOffset: 8, as: UInt64.self)
        chunk.storeBytes(
            of: checksum(UnsafeRawPointer(chunk), blocks: blocks).littleEndian, toByteOffset: 60, as: UInt32.self)
    }

    static func checksum(_ chunk: UnsafeRawPointer, blocks: Int) -> UInt32 {
        let fixed = CRC32C.checksum(UnsafeRawBufferPointer(start: chunk, count: 60))
        let table = UnsafeRawBufferPointer(start: chunk + byteCount, count: blocks * BlockEntry.byteCount)
        return CRC32C.checksum(table, continuing: fixed)
    }
}
