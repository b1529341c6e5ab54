import LarderCodec
import LarderModel

/// A record of a database: fields, then the CRC32C of key and fields, so that a damaged or misplaced record is noticed.
enum Record {
    /// The fields with their checksum.
    static func seal(_ fields: ByteWriter, key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = fields
        writer.write(checksum(key, fields.bytes))
        return writer.bytes
    }

    /// The fields of a sealed record. Throws ``LarderError`` with ``ErrorCode/damaged``.
    static func open(
        _ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, _ what: StaticString
    ) throws(LarderError) -> ByteReader {
        guard value.count >= 4 else {
            throw LarderError(.damaged, "a \(what) record is too short; run larderctl verify")
        }
        let fields = UnsafeRawBufferPointer(rebasing: value[..<(value.count - 4)])
        let stored = UInt32(littleEndian: value.loadUnaligned(fromByteOffset: fields.count, as: UInt32.self))
        guard stored == CRC32C.checksum(fields, continuing: CRC32C.checksum(key)) else {
            throw LarderError(.damaged, "the checksum of a \(what) record fails; run larderctl verify")
        }
        return ByteReader(fields)
    }

    private static func checksum(_ key: UnsafeRawBufferPointer, _ fields: [UInt8]) -> UInt32 {
        fields.withUnsafeBytes { CRC32C.checksum($0, continuing: CRC32C.checksum(key)) }
    }
}

/// A key of one or two big-endian words, which LMDB sorts as numbers.
struct WordKey {
    private let words: (UInt64, UInt64)
    private let byteCount: Int

    init(_ word: UInt64) {
        words = (word.bigEndian, 0)
        byteCount = 8
    }

    init(_ first: UInt64, _ second: UInt64) {
        words = (first.bigEndian, second.bigEndian)
        byteCount = 16
    }

    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafePointer(to: words) { pointer throws(Failure) in
            try body(UnsafeRawBufferPointer(start: pointer, count: byteCount))
        }
    }

    static func word(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> UInt64 {
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
    }
}

/// Where a chunk stands in the index: line, rank and component, offset; 16 bytes.
struct ChunkKey: Hashable {
    /// Largest offset of a chunk's start: 40 bits.
    static let largestOffset = Limits.offsetTokens - 1

    let line: UInt64
    let rank: UInt16
    let component: UInt8
    let offset: UInt64

    init(line: UInt64, rank: UInt16, component: UInt8, offset: UInt64) {
        precondition(offset <= Self.largestOffset, "an offset of more than 40 bits")
        self.line = line
        self.rank = rank
        self.component = component
        self.offset = offset
    }

    init(_ key: UnsafeRawBufferPointer) throws(LarderError) {
        guard key.count == 16 else { throw LarderError(.damaged, "a chunk key has \(key.count) bytes, not 16") }
        line = WordKey.word(key, 0)
        let place = WordKey.word(key, 1)
        rank = UInt16(truncatingIfNeeded: place >> 48)
        component = UInt8(truncatingIfNeeded: place >> 40)
        offset = place & Self.largestOffset
    }

    var words: WordKey { WordKey(line, UInt64(rank) << 48 | UInt64(component) << 40 | offset) }

    /// The same component at another offset, cut to the largest.
    func at(_ offset: UInt64) -> ChunkKey {
        ChunkKey(line: line, rank: rank, component: component, offset: min(offset, Self.largestOffset))
    }

    /// True if both are of one component of one line.
    func isBeside(_ other: ChunkKey) -> Bool {
        line == other.line && rank == other.rank && component == other.component
    }
}

/// What the index says of a chunk.
struct ChunkRecord {
    var blobID: UInt64
    /// When it was put, as blob ids count; stays when its bytes move to another blob.
    var sequence: UInt64
    var tokens: UInt32
    var rawBytes: UInt32
    var storedBytes: UInt32
    var encoding: Encoding
    /// True if its blob may be other chunks' too (``PrefixRecord``).
    var isShared = false
    /// The window of its component, in tokens, if that is a sliding one; else 0.
    var window: UInt32 = 0
    /// What its heat is remembered under (``HeatTracker``): the same when the same state is stored again.
    var heatKey: UInt64 = 0
    var createdSeconds: UInt64

    /// True if nothing behind it in its line can be restored without it.
    var isLink: Bool { tokens > 0 && window == 0 }

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        writer.write(blobID)
        writer.write(sequence)
        writer.write(tokens)
        writer.write(rawBytes)
        writer.write(storedBytes)
        writer.write(encoding.rawValue)
        writer.write(UInt8(isShared ? 1 : 0))
        writer.write(window)
        writer.write(heatKey)
        writer.write(createdSeconds)
        return Record.seal(writer, key: key)
    }

    init(
        blobID: UInt64, tokens: UInt32, rawBytes: UInt32, storedBytes: UInt32, encoding: Encoding,
        createdSeconds: UInt64
    ) {
        self.blobID = blobID
        sequence = blobID
        self.tokens = tokens
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.encoding = encoding
        self.createdSeconds = createdSeconds
    }

    /// True if a view of its line shows the chunk, which stands at `offset`.
    func isVisible(at offset: UInt64, in view: LineView) -> Bool {
        offset + UInt64(tokens) <= view.limit && sequence < view.asOf
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "chunk")
        blobID = try reader.read(UInt64.self, "blob id")
        sequence = try reader.read(UInt64.self, "sequence")
        tokens = try reader.read(UInt32.self, "tokens")
        rawBytes = try reader.read(UInt32.self, "raw bytes")
        storedBytes = try reader.read(UInt32.self, "stored bytes")
        encoding = try reader.read(Encoding.self, "encoding")
        isShared = try reader.read(UInt8.self, "shared") != 0
        window = try reader.read(UInt32.self, "window")
        heatKey = try reader.read(UInt64.self, "heat key")
        createdSeconds = try reader.read(UInt64.self, "created")
        try reader.finish("a chunk record")
    }
}
