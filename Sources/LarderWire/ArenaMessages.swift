import LarderModel

/// A place in an arena of this connection; the length stands beside it.
public struct ArenaRegion: Message, Hashable {
    /// The arena's number, from ``ArenaOpened``.
    public var arena: UInt32
    /// First byte.
    public var offset: UInt64

    /// A region from its fields.
    public init(arena: UInt32, offset: UInt64) {
        self.arena = arena
        self.offset = offset
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(arena)
        writer.write(offset)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        arena = try reader.read(UInt32.self, "arena")
        offset = try reader.read(UInt64.self, "arena offset")
    }
}

/// Have the daemon make shared memory; its descriptor comes with the answer (SCM_RIGHTS).
public struct OpenArena: Request {
    /// Answers with ``ArenaOpened``.
    public typealias Answer = ArenaOpened
    /// openArena.
    public static let type = MessageType.openArena

    /// Bytes, more than 0.
    public var byteCount: UInt64

    /// A request.
    public init(byteCount: UInt64) { self.byteCount = byteCount }

    public func write(to writer: inout ByteWriter) { writer.write(byteCount) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        byteCount = try reader.read(UInt64.self, "arena bytes")
    }
}

/// Register shared memory of the client's own: a memfd, sealed against shrinking and growing, whose descriptor comes with
/// the first byte of this frame (SCM_RIGHTS).
public struct RegisterArena: Request {
    /// Answers with ``ArenaOpened``.
    public typealias Answer = ArenaOpened
    /// registerArena.
    public static let type = MessageType.registerArena

    /// Bytes of the memfd.
    public var byteCount: UInt64

    /// A request.
    public init(byteCount: UInt64) { self.byteCount = byteCount }

    public func write(to writer: inout ByteWriter) { writer.write(byteCount) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        byteCount = try reader.read(UInt64.self, "arena bytes")
    }
}

/// Answers ``OpenArena`` and ``RegisterArena``.
public struct ArenaOpened: Message {
    /// The arena's number on this connection.
    public var arena: UInt32

    /// An answer.
    public init(arena: UInt32) { self.arena = arena }

    public func write(to writer: inout ByteWriter) { writer.write(arena) }

    public init(from reader: inout ByteReader) throws(LarderError) { arena = try reader.read(UInt32.self, "arena") }
}

/// Give an arena back before the connection ends.
public struct CloseArena: Request {
    /// Answers with ``Done``.
    public typealias Answer = Done
    /// closeArena.
    public static let type = MessageType.closeArena

    /// Its number.
    public var arena: UInt32

    /// A request.
    public init(arena: UInt32) { self.arena = arena }

    public func write(to writer: inout ByteWriter) { writer.write(arena) }

    public init(from reader: inout ByteReader) throws(LarderError) { arena = try reader.read(UInt32.self, "arena") }
}

/// One chunk to page into an arena.
public struct GetIntoItem: Message {
    /// Which, and which layers.
    public var item: GetItem
    /// Where to.
    public var region: ArenaRegion
    /// Room there, at least what the layers take. Of one request's regions no two may overlap.
    public var byteCount: UInt64

    /// An item from its fields.
    public init(item: GetItem, region: ArenaRegion, byteCount: UInt64) {
        self.item = item
        self.region = region
        self.byteCount = byteCount
    }

    public func write(to writer: inout ByteWriter) {
        item.write(to: &writer)
        region.write(to: &writer)
        writer.write(byteCount)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        item = try GetItem(from: &reader)
        region = try ArenaRegion(from: &reader)
        byteCount = try reader.read(UInt64.self, "region bytes")
    }
}

/// Page in to shared memory: no byte crosses the socket.
public struct GetInto: Request {
    /// Answers with ``GetAnswer``, whose payloads name the regions; before it, perhaps, ``LayersLanded``.
    public typealias Answer = GetAnswer
    /// getInto.
    public static let type = MessageType.getInto

    /// 0 to be told only when all is done; else after so many layers of every item, or somewhat more.
    public var layerGroup: UInt32
    /// The chunks.
    public var items: [GetIntoItem]

    /// A request.
    public init(layerGroup: UInt32 = 0, items: [GetIntoItem]) {
        self.layerGroup = layerGroup
        self.items = items
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(layerGroup)
        writer.write(list: items)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        layerGroup = try reader.read(UInt32.self, "layer group")
        items = try reader.readList(of: GetIntoItem.self, limit: Limits.batchItems, "get into")
    }
}

/// Tells, before the answer to ``GetInto``, how far it is. Sent only while every item is served, and never when it would have
/// to wait for the peer to read: a hint to begin early, not a promise to be told.
public struct LayersLanded: Message {
    /// So many layers of every item, from its first on, are in place.
    public var layers: UInt32

    /// A message.
    public init(layers: UInt32) { self.layers = layers }

    public func write(to writer: inout ByteWriter) { writer.write(layers) }

    public init(from reader: inout ByteReader) throws(LarderError) { layers = try reader.read(UInt32.self, "layers") }

    /// The type of its frames.
    public static let frameType = MessageType.getInto.rawValue | FrameHeader.answerBit | FrameHeader.progressBit

    /// The message as a frame.
    public func frame(requestID: UInt64) -> [UInt8] { frame(type: Self.frameType, requestID: requestID) }
}
