import LarderModel

/// Copy the store as it is at one moment to a directory, while the daemon serves.
public struct Backup: Request {
    /// Answers with ``BackupAnswer``; before it come ``BackupProgress`` frames.
    public typealias Answer = BackupAnswer
    /// backup.
    public static let type = MessageType.backup

    /// An absolute path on the daemon's machine: nothing, or an empty directory, outside the store.
    public var directory: String

    /// A request.
    public init(directory: String) { self.directory = directory }

    public func write(to writer: inout ByteWriter) { writer.write(directory) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        directory = try reader.readString("directory")
    }
}

/// Answers ``Backup``, when the copy survives power loss.
public struct BackupAnswer: Message, Hashable {
    /// Shards that were copied.
    public var shards: UInt32
    /// Bytes of the copy.
    public var bytes: UInt64
    /// The moment that it is a copy of, seconds since 1970.
    public var createdSeconds: UInt64

    /// An answer from its fields.
    public init(shards: UInt32, bytes: UInt64, createdSeconds: UInt64) {
        self.shards = shards
        self.bytes = bytes
        self.createdSeconds = createdSeconds
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(shards)
        writer.write(bytes)
        writer.write(createdSeconds)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        shards = try reader.read(UInt32.self, "shards")
        bytes = try reader.read(UInt64.self, "bytes")
        createdSeconds = try reader.read(UInt64.self, "created")
    }
}

/// Tells, before the answer to ``Backup``, how far it is. Sent every now and then.
public struct BackupProgress: Message, Hashable {
    /// Bytes copied so far.
    public var copiedBytes: UInt64
    /// Bytes to copy, about.
    public var totalBytes: UInt64

    /// A message from its fields.
    public init(copiedBytes: UInt64, totalBytes: UInt64) {
        self.copiedBytes = copiedBytes
        self.totalBytes = totalBytes
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(copiedBytes)
        writer.write(totalBytes)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        copiedBytes = try reader.read(UInt64.self, "copied bytes")
        totalBytes = try reader.read(UInt64.self, "total bytes")
    }

    /// The type of its frames.
    public static let frameType = MessageType.backup.rawValue | FrameHeader.answerBit | FrameHeader.progressBit

    /// The message as a frame.
    public func frame(requestID: UInt64) -> [UInt8] { frame(type: Self.frameType, requestID: requestID) }
}
