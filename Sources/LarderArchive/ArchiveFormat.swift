import LarderCodec
import LarderModel
import LarderSystem

/// Numbers of the format of exports (Docs/EXPORT.md).
enum ArchiveFormat {
    /// How a file begins.
    static let magic = Array("LRDX".utf8)
    /// The version that this program writes and reads.
    static let version: UInt32 = 1
    /// Bytes before the first record: magic and version.
    static let startBytes = 8
    /// Bytes of a record before its fields.
    static let headerBytes = 24
    /// Most bytes of a record's fields.
    static let fieldBytes = 64 << 10
}

/// Why an export cannot be read on. Each description is a sentence that names the file.
public enum ArchiveFailure: Error, Sendable, CustomStringConvertible {
    /// The file system refused.
    case system(SystemError)
    /// The file does not begin as an export does.
    case notExport(path: String)
    /// The file is of another version.
    case version(path: String, UInt32)
    /// The file ends before the export does; the last whole record ends at this byte.
    case cutOff(path: String, at: Int)
    /// A record that begins at this byte is not what was written, or makes no sense where it stands.
    case damaged(path: String, at: Int, what: String)

    /// What happened, to which file, and what to do.
    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .notExport(let path): "\(path) is no export of Larder; name a file that larderctl export wrote"
        case .version(let path, let version):
            "\(path) is an export of version \(version), and this program reads \(ArchiveFormat.version); use a later one"
        case .cutOff(let path, let position):
            "\(path) is cut off: what is whole ends at byte \(position); go on with it by larderctl export --resume"
        case .damaged(let path, let position, let what):
            "\(path) is damaged in the record at byte \(position): \(what); use another copy of the file"
        }
    }
}

/// Writes an export, record by record, to a file or a pipe.
public struct ArchiveWriter: ~Copyable {
    private let file: Descriptor
    private let path: String
    /// CRC32C of all that is written so far but for payloads and checks.
    private var check: UInt32
    /// Bytes of the file so far.
    public private(set) var position: Int

    /// A writer that begins a file.
    public init(_ file: consuming Descriptor, path: String) throws(ArchiveFailure) {
        self.file = file
        self.path = path
        var start = ByteWriter()
        start.write(raw: ArchiveFormat.magic)
        start.write(ArchiveFormat.version)
        check = start.bytes.withUnsafeBytes { CRC32C.checksum($0) }
        position = 0
        try write(start.bytes)
    }

    /// A writer that goes on with a file, whose descriptor stands at its end.
    init(_ file: consuming Descriptor, path: String, position: Int, check: UInt32) {
        self.file = file
        self.path = path
        self.position = position
        self.check = check
    }

    /// Writes a record.
    public mutating func append(
        _ record: ArchiveRecord, payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws(ArchiveFailure) {
        let fields = record.fields
        var writer = ByteWriter(capacity: ArchiveFormat.headerBytes + fields.count)
        writer.write(record.kind)
        writer.write(UInt32(fields.count))
        writer.write(UInt64(payload.count))
        writer.write(payload.isEmpty ? 0 : CRC32C.checksum(payload))
        check = writer.bytes.withUnsafeBytes { CRC32C.checksum($0, continuing: check) }
        check = fields.withUnsafeBytes { CRC32C.checksum($0, continuing: check) }
        writer.write(check)
        writer.write(raw: fields)
        try write(writer.bytes)
        do { try file.write(payload) } catch { throw failure(error) }
        position += payload.count
    }

    /// Makes what is written survive power loss; a pipe has nothing to make so.
    public func synchronise() throws(ArchiveFailure) {
        do { try file.synchroniseData() } catch {
            if error.code != SystemError.invalid { throw failure(error) }
        }
    }

    private mutating func write(_ bytes: [UInt8]) throws(ArchiveFailure) {
        do { try file.write(bytes) } catch { throw failure(error) }
        position += bytes.count
    }

    private func failure(_ error: SystemError) -> ArchiveFailure {
        .system(SystemError(error.operation, path, code: error.code))
    }
}
