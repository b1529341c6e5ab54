import LarderModel

/// Which chunk: a session, the rank and component that it belongs to, and the offset at which it starts.
public struct ChunkName: Message, Hashable {
    /// Session id, from ``SessionOpened``.
    public var session: UInt64
    /// Rank in the parallel group.
    public var rank: UInt16
    /// Index into the rank's components.
    public var component: UInt16
    /// Offset in tokens: of the first token, or of the state of a recurrent component.
    public var offset: UInt64

    /// A name from its fields.
    public init(session: UInt64, rank: UInt16 = 0, component: UInt16, offset: UInt64) {
        self.session = session
        self.rank = rank
        self.component = component
        self.offset = offset
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(session)
        writer.write(rank)
        writer.write(component)
        writer.write(offset)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        session = try reader.read(UInt64.self, "session")
        rank = try reader.read(UInt16.self, "rank")
        component = try reader.read(UInt16.self, "component")
        offset = try reader.read(UInt64.self, "offset")
    }
}

/// Where a chunk's bytes are: in this frame, after the message's fields, in item order; or in a region of an arena.
public struct Payload: Message, Hashable {
    private enum Place: UInt8 {
        case inline = 0
        case arena = 1
    }

    /// Bytes.
    public var byteCount: UInt64
    /// The region that holds them; nil for inline.
    public var region: ArenaRegion?

    /// An inline payload.
    public init(byteCount: UInt64) { self.byteCount = byteCount }

    /// A payload in an arena.
    public init(byteCount: UInt64, region: ArenaRegion) {
        self.byteCount = byteCount
        self.region = region
    }

    /// Bytes that follow the message's fields.
    public var inlineBytes: UInt64 { region == nil ? byteCount : 0 }

    public func write(to writer: inout ByteWriter) {
        writer.write((region == nil ? Place.inline : .arena).rawValue)
        writer.write(byteCount)
        region?.write(to: &writer)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        let place = try reader.read(Place.self, "payload place")
        byteCount = try reader.read(UInt64.self, "payload bytes")
        region = place == .arena ? try ArenaRegion(from: &reader) : nil
    }
}

/// One chunk to page out.
public struct PutItem: Message {
    /// Which.
    public var name: ChunkName
    /// Tokens; 0 for a recurrent state.
    public var tokens: UInt32
    /// Its raw bytes.
    public var payload: Payload
    /// The worker's name for it by content, if it has one.
    public var naming: Naming

    /// Whether a chunk is named by its content.
    public enum Naming: Sendable, Hashable {
        /// It is not.
        case none
        /// By a key; the bytes are here too.
        case key(PrefixKey)
        /// By a key that the daemon should know: no bytes, and an inline payload of 0.
        case known(PrefixKey)
    }

    /// An item from its fields.
    public init(name: ChunkName, tokens: UInt32, payload: Payload, naming: Naming = .none) {
        self.name = name
        self.tokens = tokens
        self.payload = payload
        self.naming = naming
    }

    public func write(to writer: inout ByteWriter) {
        name.write(to: &writer)
        writer.write(tokens)
        payload.write(to: &writer)
        switch naming {
        case .none: writer.write(UInt8(0))
        case .key(let key):
            writer.write(UInt8(1))
            key.write(to: &writer)
        case .known(let key):
            writer.write(UInt8(2))
            key.write(to: &writer)
        }
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        name = try ChunkName(from: &reader)
        tokens = try reader.read(UInt32.self, "tokens")
        payload = try Payload(from: &reader)
        let number = try reader.read(UInt8.self, "naming")
        switch number {
        case 0: naming = .none
        case 1: naming = .key(try PrefixKey(from: &reader))
        case 2:
            naming = .known(try PrefixKey(from: &reader))
            guard payload == Payload(byteCount: 0) else {
                throw LarderError(.malformed, "a chunk that is known by its key has a payload; send 0 bytes inline")
            }
        default: throw LarderError(.invalidArgument, "naming is \(number), which has no meaning in this version")
        }
    }
}

/// Page out. The payloads follow the fields in item order.
public struct Put: Request {
    /// Answers with ``PutAnswer``.
    public typealias Answer = PutAnswer
    /// put.
    public static let type = MessageType.put

    /// When to answer.
    public var acknowledgement: Acknowledgement
    /// How to encode.
    public var encoding: EncodingChoice
    /// The chunks.
    public var items: [PutItem]

    /// A request from its fields.
    public init(acknowledgement: Acknowledgement, encoding: EncodingChoice, items: [PutItem]) {
        self.acknowledgement = acknowledgement
        self.encoding = encoding
        self.items = items
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(acknowledgement.rawValue)
        writer.write(encoding.rawValue)
        writer.write(list: items)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        acknowledgement = try reader.read(Acknowledgement.self, "acknowledgement")
        encoding = try reader.read(EncodingChoice.self, "encoding")
        items = try reader.readList(of: PutItem.self, limit: Limits.batchItems, "put")
    }
}

/// What became of one item: an error, or nothing.
public struct ItemStatus: Message, Hashable {
    /// nil if the item was done.
    public var error: LarderError?

    /// A status.
    public init(_ error: LarderError?) { self.error = error }

    public func write(to writer: inout ByteWriter) {
        writer.write(error?.code.rawValue ?? 0)
        if let error { writer.write(error.message) }
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        let code = try reader.read(UInt16.self, "item status")
        error =
            code == 0 ? nil : LarderError(ErrorCode(rawValue: code) ?? .internal, try reader.readString("item message"))
    }
}

/// The answer for one chunk of a page-out.
public struct PutResult: Message {
    /// Done, or why not.
    public var status: ItemStatus
    /// Bytes that it takes in the store; 0 if it was refused.
    public var storedBytes: UInt64

    /// A result from its fields.
    public init(status: ItemStatus, storedBytes: UInt64) {
        self.status = status
        self.storedBytes = storedBytes
    }

    public func write(to writer: inout ByteWriter) {
        status.write(to: &writer)
        writer.write(storedBytes)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        status = try ItemStatus(from: &reader)
        storedBytes = try reader.read(UInt64.self, "stored bytes")
    }
}

/// Answers ``Put``: one result an item, in order.
public struct PutAnswer: Message {
    /// The results.
    public var results: [PutResult]

    /// An answer.
    public init(results: [PutResult]) { self.results = results }

    public func write(to writer: inout ByteWriter) { writer.write(list: results) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        results = try reader.readList(of: PutResult.self, limit: Limits.batchItems, "put answer")
    }
}

/// One chunk to page in, whole or by layers.
public struct GetItem: Message {
    /// Which.
    public var name: ChunkName
    /// First layer.
    public var firstLayer: UInt32
    /// Layers; 0 for all from the first on.
    public var layers: UInt32

    /// An item from its fields.
    public init(name: ChunkName, firstLayer: UInt32 = 0, layers: UInt32 = 0) {
        self.name = name
        self.firstLayer = firstLayer
        self.layers = layers
    }

    public func write(to writer: inout ByteWriter) {
        name.write(to: &writer)
        writer.write(firstLayer)
        writer.write(layers)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        name = try ChunkName(from: &reader)
        firstLayer = try reader.read(UInt32.self, "first layer")
        layers = try reader.read(UInt32.self, "layers")
    }
}

/// Page in.
public struct Get: Request {
    /// Answers with ``GetAnswer``.
    public typealias Answer = GetAnswer
    /// get.
    public static let type = MessageType.get

    /// The chunks.
    public var items: [GetItem]

    /// A request.
    public init(items: [GetItem]) { self.items = items }

    public func write(to writer: inout ByteWriter) { writer.write(list: items) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        items = try reader.readList(of: GetItem.self, limit: Limits.batchItems, "get")
    }
}

/// The answer for one chunk of a page-in.
public struct GetResult: Message {
    /// Found and whole, or why not.
    public var status: ItemStatus
    /// Tokens of the chunk.
    public var tokens: UInt32
    /// Its raw bytes; empty if it was not served.
    public var payload: Payload

    /// A result from its fields.
    public init(status: ItemStatus, tokens: UInt32, payload: Payload) {
        self.status = status
        self.tokens = tokens
        self.payload = payload
    }

    public func write(to writer: inout ByteWriter) {
        status.write(to: &writer)
        writer.write(tokens)
        payload.write(to: &writer)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        status = try ItemStatus(from: &reader)
        tokens = try reader.read(UInt32.self, "tokens")
        payload = try Payload(from: &reader)
    }
}

/// Answers ``Get``: one result an item, in order. The payloads follow the fields in item order.
public struct GetAnswer: Message {
    /// The results.
    public var results: [GetResult]

    /// An answer.
    public init(results: [GetResult]) { self.results = results }

    public func write(to writer: inout ByteWriter) { writer.write(list: results) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        results = try reader.readList(of: GetResult.self, limit: Limits.batchItems, "get answer")
    }
}
