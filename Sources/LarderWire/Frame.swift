import LarderModel

/// What a frame is. Requests below 0x8000; the answer to a request has the request's number with the top bit set.
public enum MessageType: UInt16, Sendable, CaseIterable {
    /// Handshake: the first frame of a connection.
    case hello = 0x0001
    /// Declare a model.
    case declareModel = 0x0002
    /// Open or create a session.
    case openSession = 0x0003
    /// Page out.
    case put = 0x0004
    /// Page in.
    case get = 0x0005
    /// How far can this session be restored?
    case resume = 0x0006
    /// Forget a session's state from an offset on.
    case truncate = 0x0007
    /// Forget a session.
    case drop = 0x0008
    /// List models.
    case listModels = 0x0009
    /// List sessions.
    case listSessions = 0x000A
    /// List a session's chunks.
    case listChunks = 0x000B
    /// Counters and facts of the daemon.
    case stat = 0x000C
    /// Make everything committed survive power loss.
    case sync = 0x000D
    /// Read and check stored chunks.
    case verify = 0x000E
    /// Have the daemon make an arena.
    case openArena = 0x000F
    /// Register an arena of the client's own.
    case registerArena = 0x0010
    /// Give an arena back.
    case closeArena = 0x0011
    /// Page in to an arena.
    case getInto = 0x0012
    /// Bring a session's state into memory.
    case prefetch = 0x0013
    /// Make a session that shares another's past.
    case fork = 0x0014
    /// Why can a session be restored as far as it can?
    case explain = 0x0015
    /// How many of these prefix keys are known?
    case match = 0x0016
    /// Where should recurrent states be saved?
    case planSnapshots = 0x0017
    /// Change a namespace's policy, or ask for it.
    case configureNamespace = 0x0018
    /// List namespaces.
    case listNamespaces = 0x0019
    /// Set a session's own time to live.
    case configureSession = 0x001A
    /// What has paging saved?
    case report = 0x001B
    /// How fast do a model's workers compute?
    case setPrefillRate = 0x001C
    /// What is to come of state?
    case hint = 0x001D
    /// Change the store's cap.
    case setCap = 0x001E
    /// Which forks and truncates does a session's state have?
    case tree = 0x0021
    /// Take a damaged chunk out.
    case repair = 0x0022
    /// Copy the store while it is in use.
    case backup = 0x0023
}

/// The 16 bytes before every message (Docs/PROTOCOL.md, "Frame").
public struct FrameHeader: Sendable, Hashable {
    /// Bytes of a header.
    public static let byteCount = 16
    /// Set in the type of an answer.
    public static let answerBit: UInt16 = 0x8000
    /// Set beside ``answerBit`` in a frame that tells of progress; the answer itself follows.
    public static let progressBit: UInt16 = 0x4000
    /// The type of an answer that refuses the whole request.
    public static let errorType: UInt16 = 0xFFFF

    /// Bytes that follow the header.
    public var bodyBytes: UInt32
    /// A ``MessageType``, with ``answerBit`` in answers; or ``errorType``.
    public var type: UInt16
    /// No flag has a meaning in version 1: must be 0.
    public var flags: UInt16
    /// Chosen by the client, repeated in the answer.
    public var requestID: UInt64

    /// A header from its fields.
    public init(bodyBytes: UInt32, type: UInt16, requestID: UInt64) {
        self.bodyBytes = bodyBytes
        self.type = type
        flags = 0
        self.requestID = requestID
    }

    /// Reads a header; `bytes` holds at least ``byteCount``.
    public init(_ bytes: UnsafeRawBufferPointer) {
        bodyBytes = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        type = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
        flags = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        requestID = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// Appends the header's bytes.
    public func write(to writer: inout ByteWriter) {
        writer.write(bodyBytes)
        writer.write(type)
        writer.write(flags)
        writer.write(requestID)
    }
}

/// A message that knows its bytes. Decoding checks every length; ``ByteReader/finish(_:)`` refuses what is left over.
public protocol Message: Sendable {
    /// Appends the message's fields.
    func write(to writer: inout ByteWriter)
    /// Reads the fields that ``write(to:)`` wrote.
    init(from reader: inout ByteReader) throws(LarderError)
}

/// A message that asks, with the type that says so and the message that answers.
public protocol Request: Message {
    /// The answer's message.
    associatedtype Answer: Message
    /// The request's number.
    static var type: MessageType { get }
}

extension Message {
    /// A whole frame: header and body, followed by `payloadBytes` that the sender appends by itself.
    public func frame(type: UInt16, requestID: UInt64, payloadBytes: Int = 0) -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        FrameHeader(bodyBytes: 0, type: type, requestID: requestID).write(to: &writer)
        write(to: &writer)
        writer.patch(UInt32(writer.bytes.count - FrameHeader.byteCount + payloadBytes), at: 0)
        return writer.bytes
    }

    /// Reads a whole body.
    public init(body: UnsafeRawBufferPointer) throws(LarderError) {
        var reader = ByteReader(body)
        try self.init(from: &reader)
        try reader.finish("the message")
    }
}

extension Request {
    /// The request as a frame.
    public func frame(requestID: UInt64, payloadBytes: Int = 0) -> [UInt8] {
        frame(type: Self.type.rawValue, requestID: requestID, payloadBytes: payloadBytes)
    }
}

extension ByteWriter {
    /// Appends a list as u32 count and items.
    mutating func write<Item: Message>(list: [Item]) {
        write(UInt32(list.count))
        for item in list { item.write(to: &self) }
    }
}

extension ByteReader {
    /// Reads a list of at most `limit` items.
    mutating func readList<Item: Message>(
        of _: Item.Type, limit: Int, _ field: StaticString
    ) throws(LarderError) -> [Item] {
        let count = Int(try read(UInt32.self, field))
        if count > limit {
            throw LarderError(.invalidArgument, "\(field) has \(count) items; send at most \(limit) in one request")
        }
        var items: [Item] = []
        items.reserveCapacity(min(count, remaining))
        for _ in 0..<count { items.append(try Item(from: &self)) }
        return items
    }
}
