import LarderCodec
import LarderModel
import LarderSystem

/// Reads an export, record by record, from a file or a pipe, and trusts nothing in it: every record's checksum, and that it
/// makes sense where it stands, is checked before it is returned; a chunk's bytes are checked by ``readPayload(into:)``.
public struct ArchiveReader: ~Copyable {
    private let file: Descriptor
    /// What messages call the file.
    public let path: String
    private var order = ArchiveOrder()
    /// Payload bytes of the record at hand that were not read yet, and their checksum.
    private var pending = (bytes: 0, checksum: UInt32(0))
    /// Where the record at hand begins.
    private var recordStart = 0
    /// Bytes read so far.
    public private(set) var position = 0
    /// CRC32C of all that is read so far but for payloads and checks.
    private(set) var check: UInt32 = 0
    private let fields = UnsafeMutableRawBufferPointer.allocate(byteCount: ArchiveFormat.fieldBytes, alignment: 8)

    /// Reads the first bytes of an export.
    public init(_ file: consuming Descriptor, path: String) throws(ArchiveFailure) {
        self.file = file
        self.path = path
        let start = UnsafeMutableRawBufferPointer(rebasing: fields[..<ArchiveFormat.startBytes])
        let count: Int
        do { count = try self.file.readNext(into: start) } catch {
            throw .system(SystemError(error.operation, path, code: error.code))
        }
        guard count == start.count, Array(start[..<4]) == ArchiveFormat.magic else { throw .notExport(path: path) }
        let version = UInt32(littleEndian: start.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard version == ArchiveFormat.version else { throw .version(path: path, version) }
        check = CRC32C.checksum(UnsafeRawBufferPointer(start))
        position = count
    }

    deinit { fields.deallocate() }

    /// What the sessions and chunks so far come to.
    public var totals: ArchivedTotals { order.totals }

    /// The next record; nil after the end. The payload of the one before must have been read.
    public mutating func next() throws(ArchiveFailure) -> ArchiveRecord? {
        precondition(pending.bytes == 0, "the payload of the last chunk was not read")
        recordStart = position
        if order.isOver {
            let rest = UnsafeMutableRawBufferPointer(rebasing: fields[..<1])
            guard try fill(rest) == 0 else { throw damaged("something follows the export's end") }
            return nil
        }
        let header = UnsafeMutableRawBufferPointer(rebasing: fields[..<ArchiveFormat.headerBytes])
        guard try fill(header) == header.count else { throw .cutOff(path: path, at: recordStart) }
        func word(_ offset: Int) -> UInt32 {
            UInt32(littleEndian: header.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        let (kind, fieldBytes, checksum, stored) = (word(0), Int(word(4)), word(16), word(20))
        let payloadBytes = UInt64(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        check = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: header[..<20]), continuing: check)
        guard fieldBytes <= ArchiveFormat.fieldBytes, payloadBytes <= UInt64(Limits.chunkBytes) else {
            throw damaged("it says that it is longer than any record may be")
        }
        let room = UnsafeMutableRawBufferPointer(rebasing: fields[..<fieldBytes])
        guard try fill(room) == fieldBytes else { throw .cutOff(path: path, at: recordStart) }
        check = CRC32C.checksum(UnsafeRawBufferPointer(room), continuing: check)
        guard check == stored else { throw damaged("its checksum fails") }
        do throws(LarderError) {
            let record = try ArchiveRecord(kind: kind, fields: UnsafeRawBufferPointer(room))
            try order.accept(record, payloadBytes: Int(payloadBytes))
            pending = (Int(payloadBytes), checksum)
            return record
        } catch { throw damaged(error.message) }
    }

    /// Bytes of the payload of the record at hand: what its model and its tokens give.
    public var payloadBytes: Int { pending.bytes }

    /// Reads the payload of the chunk at hand into memory of exactly its size, and checks it.
    public mutating func readPayload(into buffer: UnsafeMutableRawBufferPointer) throws(ArchiveFailure) {
        precondition(buffer.count == pending.bytes, "a payload needs a buffer of its size")
        guard try fill(buffer) == buffer.count else { throw .cutOff(path: path, at: recordStart) }
        guard CRC32C.checksum(UnsafeRawBufferPointer(buffer)) == pending.checksum else {
            throw damaged("the checksum of its bytes fails")
        }
        pending = (0, 0)
    }

    private mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(ArchiveFailure) -> Int {
        if buffer.isEmpty { return 0 }
        do {
            let count = try file.readNext(into: buffer)
            position += count
            return count
        } catch { throw .system(SystemError(error.operation, path, code: error.code)) }
    }

    private func damaged(_ what: String) -> ArchiveFailure { .damaged(path: path, at: recordStart, what: what) }
}
