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

/// Where a chunk stands in the index: session, rank and component, offset; 16 bytes.
struct ChunkKey: Hashable {
    /// Largest offset of a chunk's start: 40 bits.
    static let largestOffset = Limits.offsetTokens - 1

    let session: UInt64
    let rank: UInt16
    let component: UInt8
    let offset: UInt64

    init(session: UInt64, rank: UInt16, component: UInt8, offset: UInt64) {
        precondition(offset <= Self.largestOffset, "an offset of more than 40 bits")
        self.session = session
        self.rank = rank
        self.component = component
        self.offset = offset
    }

    init(_ key: UnsafeRawBufferPointer) throws(LarderError) {
        guard key.count == 16 else { throw LarderError(.damaged, "a chunk key has \(key.count) bytes, not 16") }
        session = WordKey.word(key, 0)
        let place = WordKey.word(key, 1)
        rank = UInt16(truncatingIfNeeded: place >> 48)
        component = UInt8(truncatingIfNeeded: place >> 40)
        offset = place & Self.largestOffset
    }

    var words: WordKey { WordKey(session, UInt64(rank) << 48 | UInt64(component) << 40 | offset) }

    /// The same component at another offset, cut to the largest.
    func at(_ offset: UInt64) -> ChunkKey {
        ChunkKey(session: session, rank: rank, component: component, offset: min(offset, Self.largestOffset))
    }

    /// True if both are of one component of one session.
    func isBeside(_ other: ChunkKey) -> Bool {
        session == other.session && rank == other.rank && component == other.component
    }
}

/// What the index says of a chunk.
struct ChunkRecord {
    var blobID: UInt64
    var tokens: UInt32
    var rawBytes: UInt32
    var storedBytes: UInt32
    var encoding: Encoding
    var createdSeconds: UInt64

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 40)
        writer.write(blobID)
        writer.write(tokens)
        writer.write(rawBytes)
        writer.write(storedBytes)
        writer.write(encoding.rawValue)
        writer.write(createdSeconds)
        return Record.seal(writer, key: key)
    }

    init(
        blobID: UInt64, tokens: UInt32, rawBytes: UInt32, storedBytes: UInt32, encoding: Encoding,
        createdSeconds: UInt64
    ) {
        self.blobID = blobID
        self.tokens = tokens
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.encoding = encoding
        self.createdSeconds = createdSeconds
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "chunk")
        blobID = try reader.read(UInt64.self, "blob id")
        tokens = try reader.read(UInt32.self, "tokens")
        rawBytes = try reader.read(UInt32.self, "raw bytes")
        storedBytes = try reader.read(UInt32.self, "stored bytes")
        encoding = try reader.read(Encoding.self, "encoding")
        createdSeconds = try reader.read(UInt64.self, "created")
        try reader.finish("a chunk record")
    }
}

/// What the store says of a session.
struct SessionRecord {
    var namespaceID: UInt32
    var name: String
    /// Model ids by rank, in order of rank.
    var models: [(rank: UInt16, modelID: UInt32)]
    var chunks: UInt64 = 0
    var rawBytes: UInt64 = 0
    var storedBytes: UInt64 = 0
    var createdSeconds: UInt64
    var changedSeconds: UInt64

    init(namespaceID: UInt32, name: String, createdSeconds: UInt64) {
        self.namespaceID = namespaceID
        self.name = name
        models = []
        self.createdSeconds = createdSeconds
        changedSeconds = createdSeconds
    }

    func modelID(rank: UInt16) -> UInt32? { models.first { $0.rank == rank }?.modelID }

    mutating func count(_ record: ChunkRecord, sign: Int) {
        chunks = chunks &+ UInt64(bitPattern: Int64(sign))
        rawBytes = rawBytes &+ UInt64(bitPattern: Int64(sign * Int(record.rawBytes)))
        storedBytes = storedBytes &+ UInt64(bitPattern: Int64(sign * Int(record.storedBytes)))
    }

    func sealed(key: UnsafeRawBufferPointer) -> [UInt8] {
        var writer = ByteWriter(capacity: 96)
        writer.write(namespaceID)
        writer.write(name)
        writer.write(UInt16(models.count))
        for model in models {
            writer.write(model.rank)
            writer.write(model.modelID)
        }
        for value in [chunks, rawBytes, storedBytes, createdSeconds, changedSeconds] { writer.write(value) }
        return Record.seal(writer, key: key)
    }

    init(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = try Record.open(value, key: key, "session")
        namespaceID = try reader.read(UInt32.self, "namespace id")
        name = try reader.readString("session name")
        models = []
        for _ in 0..<(try reader.read(UInt16.self, "model count")) {
            models.append((try reader.read(UInt16.self, "rank"), try reader.read(UInt32.self, "model id")))
        }
        chunks = try reader.read(UInt64.self, "chunks")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        storedBytes = try reader.read(UInt64.self, "stored bytes")
        createdSeconds = try reader.read(UInt64.self, "created")
        changedSeconds = try reader.read(UInt64.self, "changed")
        try reader.finish("a session record")
    }
}
