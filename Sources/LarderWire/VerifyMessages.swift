import LarderModel

/// Read and check a session's chunks, a page at a time.
public struct Verify: Request {
    /// Answers with ``VerifyAnswer``.
    public typealias Answer = VerifyAnswer
    /// verify.
    public static let type = MessageType.verify

    /// Where to start, as ``ListChunks/from``.
    public var from: ChunkName

    /// A request.
    public init(from: ChunkName) { self.from = from }

    public func write(to writer: inout ByteWriter) { from.write(to: &writer) }

    public init(from reader: inout ByteReader) throws(LarderError) { from = try ChunkName(from: &reader) }
}

/// A chunk that fails its checks.
public struct DamagedChunk: Message, Hashable {
    /// Which.
    public var name: ChunkName
    /// What is wrong with it.
    public var reason: String

    /// A finding from its fields.
    public init(name: ChunkName, reason: String) {
        self.name = name
        self.reason = reason
    }

    public func write(to writer: inout ByteWriter) {
        name.write(to: &writer)
        writer.write(reason)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        name = try ChunkName(from: &reader)
        reason = try reader.readString("reason")
    }
}

/// Answers ``Verify``.
public struct VerifyAnswer: Message {
    /// Chunks read.
    public var checked: UInt64
    /// Raw bytes of those that are whole.
    public var rawBytes: UInt64
    /// Those that are not.
    public var damaged: [DamagedChunk]
    /// ``Verify/from`` of the next page; nil on the last.
    public var next: ChunkName?

    /// An answer from its fields.
    public init(checked: UInt64, rawBytes: UInt64, damaged: [DamagedChunk], next: ChunkName?) {
        self.checked = checked
        self.rawBytes = rawBytes
        self.damaged = damaged
        self.next = next
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(checked)
        writer.write(rawBytes)
        writer.write(list: damaged)
        writer.write(UInt8(next == nil ? 0 : 1))
        next?.write(to: &writer)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        checked = try reader.read(UInt64.self, "checked")
        rawBytes = try reader.read(UInt64.self, "raw bytes")
        damaged = try reader.readList(of: DamagedChunk.self, limit: Limits.pageEntries, "damaged")
        next = try reader.readFlag("more") ? try ChunkName(from: &reader) : nil
    }
}

/// Take a chunk that fails its checks out of the store, so that it is a miss and can be put again.
public struct Repair: Request {
    /// Answers with ``RepairAnswer``.
    public typealias Answer = RepairAnswer
    /// repair.
    public static let type = MessageType.repair

    /// The chunk, as ``DamagedChunk/name`` has it.
    public var chunk: ChunkName

    /// A request.
    public init(chunk: ChunkName) { self.chunk = chunk }

    public func write(to writer: inout ByteWriter) { chunk.write(to: &writer) }

    public init(from reader: inout ByteReader) throws(LarderError) { chunk = try ChunkName(from: &reader) }
}

/// Answers ``Repair``.
public struct RepairAnswer: Message, Hashable {
    /// Chunks that were removed: with others that are the same bytes, in whatever session. 0 if the chunk is whole, or gone.
    public var removed: UInt32
    /// Bytes that were freed in the store.
    public var freedBytes: UInt64
    /// What was wrong with them; empty if nothing.
    public var reason: String

    /// An answer from its fields.
    public init(removed: UInt32, freedBytes: UInt64, reason: String) {
        self.removed = removed
        self.freedBytes = freedBytes
        self.reason = reason
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(removed)
        writer.write(freedBytes)
        writer.write(reason)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        removed = try reader.read(UInt32.self, "removed")
        freedBytes = try reader.read(UInt64.self, "freed bytes")
        reason = try reader.readString("reason")
    }
}
