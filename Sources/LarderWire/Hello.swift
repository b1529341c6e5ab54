import LarderModel

/// The protocol's versions and optional features.
public enum WireProtocol {
    /// "LRDR", the first four bytes of a handshake.
    public static let magic: UInt32 = 0x5244_524C
    /// Oldest version that this program speaks.
    public static let oldestVersion: UInt16 = 1
    /// Newest version that this program speaks.
    public static let newestVersion: UInt16 = 1
    /// Shared memory: arenas, and payloads in them.
    public static let arenas: UInt64 = 1
    /// Feature bits that this program has.
    public static let features: UInt64 = arenas
}

/// Handshake.
public struct Hello: Request {
    /// Answers with ``Welcome``.
    public typealias Answer = Welcome
    /// hello.
    public static let type = MessageType.hello

    /// Oldest version that the client speaks.
    public var oldestVersion: UInt16
    /// Newest version that the client speaks.
    public var newestVersion: UInt16
    /// Feature bits that the client would use; unknown ones are left out of the answer.
    public var features: UInt64
    /// The client's name, for logs.
    public var clientName: String

    /// A handshake for the versions of this program.
    public init(
        clientName: String, oldestVersion: UInt16 = WireProtocol.oldestVersion,
        newestVersion: UInt16 = WireProtocol.newestVersion, features: UInt64 = WireProtocol.features
    ) {
        self.oldestVersion = oldestVersion
        self.newestVersion = newestVersion
        self.features = features
        self.clientName = clientName
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(WireProtocol.magic)
        writer.write(oldestVersion)
        writer.write(newestVersion)
        writer.write(features)
        writer.write(clientName)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        guard try reader.read(UInt32.self, "magic") == WireProtocol.magic else {
            throw LarderError(
                .handshake, "the handshake does not begin with LRDR; this socket speaks Larder's binary protocol")
        }
        oldestVersion = try reader.read(UInt16.self, "oldest version")
        newestVersion = try reader.read(UInt16.self, "newest version")
        features = try reader.read(UInt64.self, "features")
        clientName = try reader.readString("client name")
    }
}

/// The daemon's side of the handshake: what both will speak, and the bounds that the client must keep.
public struct Welcome: Message {
    /// The version that both speak.
    public var version: UInt16
    /// The features that both have.
    public var features: UInt64
    /// Most bytes of a frame after its header.
    public var frameBytes: UInt32
    /// Most items of a batch.
    public var batchItems: UInt32
    /// Most requests that may wait for their answers; the daemon reads no further until one is answered.
    public var requestsInFlight: UInt32
    /// The store's id, 16 bytes: another id means that what was stored before is not here.
    public var storeID: StoreID
    /// The daemon's name and version.
    public var serverName: String

    /// A welcome from its fields.
    public init(
        version: UInt16, features: UInt64, frameBytes: UInt32, batchItems: UInt32, requestsInFlight: UInt32,
        storeID: StoreID, serverName: String
    ) {
        self.version = version
        self.features = features
        self.frameBytes = frameBytes
        self.batchItems = batchItems
        self.requestsInFlight = requestsInFlight
        self.storeID = storeID
        self.serverName = serverName
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(version)
        writer.write(features)
        writer.write(frameBytes)
        writer.write(batchItems)
        writer.write(requestsInFlight)
        storeID.write(to: &writer)
        writer.write(serverName)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        version = try reader.read(UInt16.self, "version")
        features = try reader.read(UInt64.self, "features")
        frameBytes = try reader.read(UInt32.self, "frame bytes")
        batchItems = try reader.read(UInt32.self, "batch items")
        requestsInFlight = try reader.read(UInt32.self, "requests in flight")
        storeID = try StoreID(from: &reader)
        serverName = try reader.readString("server name")
    }
}

extension StoreID: Message {
    public func write(to writer: inout ByteWriter) {
        writer.write(high)
        writer.write(low)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        self.init(high: try reader.read(UInt64.self, "store id"), low: try reader.read(UInt64.self, "store id"))
    }
}

/// An answer that refuses the whole request.
public struct Refusal: Message {
    /// Code and sentence.
    public var error: LarderError
    /// Index of the batch item that it is about; nil if it is about the request.
    public var item: UInt32?

    /// A refusal from its fields.
    public init(_ error: LarderError, item: UInt32? = nil) {
        self.error = error
        self.item = item
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(error.code.rawValue)
        writer.write(item ?? UInt32.max)
        writer.write(error.message)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        let raw = try reader.read(UInt16.self, "error code")
        let index = try reader.read(UInt32.self, "error item")
        let message = try reader.readString("error message")
        error = LarderError(ErrorCode(rawValue: raw) ?? .internal, message)
        item = index == UInt32.max ? nil : index
    }
}
