import LarderModel

/// Change the most bytes that the store may take of the disk, until the daemon is restarted.
public struct SetCap: Request {
    /// Answers with ``CapAnswer``.
    public typealias Answer = CapAnswer
    /// setCap.
    public static let type = MessageType.setCap

    /// The new cap in bytes.
    public var capBytes: UInt64

    /// A request.
    public init(capBytes: UInt64) { self.capBytes = capBytes }

    public func write(to writer: inout ByteWriter) { writer.write(capBytes) }

    public init(from reader: inout ByteReader) throws(LarderError) {
        capBytes = try reader.read(UInt64.self, "cap")
    }
}

/// Answers ``SetCap``: the cap holds for all that is put from now on. What the store takes beyond a lower one comes down to it in
/// the background; ``Stat`` shows how far it is.
public struct CapAnswer: Message, Hashable {
    /// The cap in force, in bytes.
    public var capBytes: UInt64
    /// Bytes that the store takes of the disk now.
    public var diskBytes: UInt64

    /// An answer from its fields.
    public init(capBytes: UInt64, diskBytes: UInt64) {
        self.capBytes = capBytes
        self.diskBytes = diskBytes
    }

    public func write(to writer: inout ByteWriter) {
        writer.write(capBytes)
        writer.write(diskBytes)
    }

    public init(from reader: inout ByteReader) throws(LarderError) {
        capBytes = try reader.read(UInt64.self, "cap")
        diskBytes = try reader.read(UInt64.self, "disk")
    }
}
