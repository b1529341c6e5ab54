import LarderArchive
import LarderCodec
import LarderModel
import LarderSystem

extension FuzzTarget {
    /// The file of an export. The first byte says whether its checksums are made to hold. Reading ends with the
    /// export's end or in a failure; what was read up to there is in an order that an importer can rely on, and what is
    /// whole is written again as the same bytes.
    static let archive = FuzzTarget("archive", inputBytes: 256 << 10) { input in
        var choices = Choices(input)
        let isMended = choices.byte() & 1 == 1
        var bytes = Array(choices.rest)
        if isMended { ArchiveCheck.mend(&bytes) }
        try ArchiveCheck.shared.check(bytes, isMended: isMended)
    }
}

/// For one thread at a time.
private final class ArchiveCheck: @unchecked Sendable {
    static let shared = ArchiveCheck()
    private static let startBytes = 8
    private static let headerBytes = 24
    /// Payloads beyond this are not read: a few bytes can ask for 256 MiB, and there are not so many in an input.
    private static let payloadBytes = 1 << 20

    private let directory = ScratchDirectory()
    private let payload = GuardedMemory(capacity: payloadBytes)
    private var path: String { directory.path + "/export" }
    private var copy: String { directory.path + "/copy" }

    func check(_ bytes: [UInt8], isMended: Bool) throws {
        try FileSystem.write(bytes, to: path)
        try FileSystem.remove(copy)
        var importer = ImporterOrder()
        var isWhole = false
        var totals = ArchivedTotals()
        do throws(ArchiveFailure) {
            isWhole = try read(&importer, &totals)
        } catch {
            try require(!"\(error)".isEmpty, "a failure without a word")
            if case .system(let error) = error { throw FuzzFinding("a regular file could not be read: \(error)") }
        }
        if let wrong = importer.wrong { throw FuzzFinding(wrong) }
        if isWhole && isMended {
            try requireSame(try FileSystem.read(copy, limit: 1 << 24), bytes, "an export that was written again")
        }
        let partial = try? PartialExport(path: path)
        try require(!isWhole || partial?.isComplete == true, "a whole export that counts as cut off")
        if let partial, isWhole { try require(partial.totals == totals, "its sums differ when it is looked through") }
    }

    /// Reads the file to its end and writes what is in it to the copy. False if a payload was too long to go on.
    private func read(_ importer: inout ImporterOrder, _ totals: inout ArchivedTotals) throws(ArchiveFailure) -> Bool {
        var reader = try ArchiveReader(try Self.open(path, Descriptor.reading), path: path)
        var writer = try ArchiveWriter(try Self.open(copy, Descriptor.create), path: copy)
        while let record = try reader.next() {
            guard reader.payloadBytes <= Self.payloadBytes else { return false }
            let room = payload.room(reader.payloadBytes)
            try reader.readPayload(into: room)
            importer.take(record, payloadBytes: room.count)
            try writer.append(record, payload: UnsafeRawBufferPointer(room))
        }
        totals = reader.totals
        return true
    }

    private static func open(
        _ path: String, _ body: (String) throws(SystemError) -> Descriptor
    ) throws(ArchiveFailure) -> Descriptor {
        do { return try body(path) } catch { throw .system(error) }
    }

    /// Makes the check of each record, and of each payload, hold, as far as the lengths can be followed.
    static func mend(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { file in
            guard file.count >= startBytes else { return }
            func checksum(_ range: Range<Int>, _ previous: UInt32 = 0) -> UInt32 {
                CRC32C.checksum(UnsafeRawBufferPointer(rebasing: file[range]), continuing: previous)
            }
            var check = checksum(0..<startBytes)
            var start = startBytes
            while file.count - start >= headerBytes {
                let fields = start + headerBytes + Int(file.word(start + 4))
                guard fields <= file.count else { return }
                let payload = UInt64(file.word(start + 8)) | UInt64(file.word(start + 12)) << 32
                let end = fields + Int(clamping: min(payload, UInt64(file.count - fields)))
                file.setWord(end == fields ? 0 : checksum(fields..<end), at: start + 16)
                check = checksum(start + headerBytes..<fields, checksum(start..<start + 20, check))
                file.setWord(check, at: start + 20)
                start = end
            }
        }
    }
}

/// What an import takes for granted of a reader (`SessionImporter` looks up without asking).
private struct ImporterOrder {
    private var models: Set<UInt32> = []
    private var ranks: [UInt16: UInt32]?
    private(set) var wrong: String?

    mutating func take(_ record: ArchiveRecord, payloadBytes: Int) {
        switch record {
        case .head, .end: break
        case .model(let number, _): models.insert(number)
        case .session(let session):
            if session.ranks.isEmpty { wrong = "a session without ranks" }
            if !session.ranks.allSatisfy({ models.contains($0.model) }) { wrong = "a session of an unknown model" }
            ranks = Dictionary(session.ranks.map { ($0.rank, $0.model) }) { first, _ in first }
        case .chunk(let chunk):
            if ranks?[chunk.rank] == nil { wrong = "a chunk of a rank that its session does not have" }
            if payloadBytes == 0 { wrong = "a chunk without bytes" }
        case .sessionEnd:
            if ranks == nil { wrong = "a session ends that had not begun" }
            ranks = nil
        }
    }
}
