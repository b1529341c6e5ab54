import LarderClient
import LarderModel
import LarderSystem
import LarderWire

/// What is whole of an export that was cut off: found by reading it from its start and checking every byte.
public struct PartialExport: Sendable {
    /// A session of which the file has the beginning.
    public struct Begun: Sendable {
        /// The session.
        public var session: ArchivedSession
        /// What the file has of it.
        public var totals: ArchivedTotals
        /// Its chunks so far, in order.
        public var chunks: [ArchivedChunk] = []
    }

    /// The file.
    public let path: String
    /// What it is of.
    public private(set) var head: ArchiveHead
    /// Ids, in their store, of the sessions that are whole.
    public private(set) var done: Set<UInt64> = []
    /// The session that is not.
    public private(set) var begun: Begun?
    /// What the whole sessions come to.
    public private(set) var totals = ArchivedTotals()
    /// True if nothing is missing.
    public private(set) var isComplete = false
    private(set) var models: Set<UInt32> = []
    /// Bytes up to the end of the last whole record, and the running check there.
    private var position = 0
    private var check: UInt32 = 0

    /// Reads the export at `path`. What follows the last whole record is not looked at: it is written anew.
    ///
    /// - Parameter progress: told how many bytes are read.
    public init(path: String, progress: (Int) -> Void = { _ in }) throws {
        self.path = path
        let file: Descriptor
        do throws(SystemError) { file = try Descriptor.reading(path) } catch { throw ArchiveFailure.system(error) }
        var reader = try ArchiveReader(file, path: path)
        guard case .head(let head)? = try reader.next() else {
            throw ArchiveFailure.damaged(path: path, at: 0, what: "it does not say what it is an export of")
        }
        self.head = head
        keep(reader.position, reader.check)
        var payload = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        defer { payload.deallocate() }
        while let (record, payloadBytes) = try Self.whole(&reader, &payload) {
            take(record, payloadBytes: payloadBytes)
            keep(reader.position, reader.check)
            progress(reader.position)
        }
    }

    /// The next record with its payload; nil at the end of what is whole.
    private static func whole(
        _ reader: inout ArchiveReader, _ payload: inout UnsafeMutableRawBufferPointer
    ) throws -> (record: ArchiveRecord, payloadBytes: Int)? {
        do throws(ArchiveFailure) {
            guard let record = try reader.next() else { return nil }
            let bytes = reader.payloadBytes
            if bytes > payload.count {
                payload.deallocate()
                payload = .allocate(byteCount: bytes, alignment: 16)
            }
            try reader.readPayload(into: UnsafeMutableRawBufferPointer(rebasing: payload[..<bytes]))
            return (record, bytes)
        } catch {
            switch error {
            case .cutOff, .damaged: return nil
            case .system, .notExport, .version: throw error
            }
        }
    }

    private mutating func keep(_ position: Int, _ check: UInt32) {
        self.position = position
        self.check = check
    }

    private mutating func take(_ record: ArchiveRecord, payloadBytes: Int) {
        switch record {
        case .head: break
        case .model(let number, _): models.insert(number)
        case .session(let session):
            var totals = ArchivedTotals()
            totals.sessions = 1
            begun = Begun(session: session, totals: totals)
        case .chunk(let chunk):
            begun?.totals.chunks += 1
            begun?.totals.rawBytes += UInt64(payloadBytes)
            begun?.chunks.append(chunk)
        case .sessionEnd(let end):
            if let begun { done.insert(begun.session.id) }
            begun = nil
            totals.add(end)
        case .end: isComplete = true
        }
    }

    /// A writer that goes on behind the last whole record, after cutting off what follows it.
    func writer() throws -> ArchiveWriter {
        let file: Descriptor
        do throws(SystemError) { file = try Descriptor.appending(path, after: position) } catch {
            throw ArchiveFailure.system(error)
        }
        return ArchiveWriter(file, path: path, position: position, check: check)
    }
}
