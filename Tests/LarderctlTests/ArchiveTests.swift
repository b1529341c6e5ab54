import LarderArchive
import LarderModel
import LarderSystem
import LarderTestSupport
import Testing

/// The file of an export: what is cut off, flipped or out of order is noticed, and nothing of it is used.
@Suite struct ArchiveTests {
    private static let chunk = ArchivedChunk(rank: 0, component: 0, offset: 0, tokens: 2, createdSeconds: 5)
    private static let model = ModelDeclaration(
        name: "m", components: [Component(name: "c", kind: .attention, elementType: .bf16, layers: 1, rowBytes: 4)])

    private static var session: ArchivedSession {
        ArchivedSession(
            id: 65, namespace: "n", name: "s", createdSeconds: 4, ttlSeconds: 0,
            ranks: [ArchivedSession.Rank(rank: 0, model: 7)])
    }

    private static func totals(chunks: UInt64, rawBytes: UInt64) -> ArchivedTotals {
        var totals = ArchivedTotals()
        totals.sessions = 1
        totals.chunks = chunks
        totals.rawBytes = rawBytes
        return totals
    }

    /// The records of a small export, each with its payload.
    private static var records: [(ArchiveRecord, [UInt8])] {
        var second = chunk
        second.offset = 2
        let totals = totals(chunks: 2, rawBytes: 32)
        return [
            (.head(ArchiveHead(storeID: StoreID(high: 1, low: 2), createdSeconds: 3)), []),
            (.model(number: 7, model), []), (.session(session), []), (.chunk(chunk), Array(0..<16)),
            (.chunk(second), Array(16..<32)), (.sessionEnd(totals), []), (.end(totals), []),
        ]
    }

    private func write(_ records: [(ArchiveRecord, [UInt8])], to path: String) throws -> [UInt8] {
        try? FileSystem.remove(path)
        var writer = try ArchiveWriter(Descriptor.create(path), path: path)
        for (record, payload) in records { try payload.withUnsafeBytes { try writer.append(record, payload: $0) } }
        return try FileSystem.read(path, limit: 1 << 20)
    }

    /// Reads a file to its end: how many records there were, and how it failed.
    private func read(_ bytes: [UInt8], _ path: String) throws -> (records: Int, failure: ArchiveFailure?) {
        try FileSystem.write(bytes, to: path)
        var count = 0
        do throws(ArchiveFailure) {
            let file: Descriptor
            do throws(SystemError) { file = try Descriptor.reading(path) } catch { throw .system(error) }
            var reader = try ArchiveReader(file, path: path)
            while try reader.next() != nil {
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: reader.payloadBytes, alignment: 8)
                defer { buffer.deallocate() }
                try reader.readPayload(into: buffer)
                count += 1
            }
            return (count, nil)
        } catch { return (count, error) }
    }

    @Test func readsWhatWasWritten() throws {
        let directory = try TemporaryDirectory()
        let bytes = try write(Self.records, to: directory.path + "/e")
        let found = try read(bytes, directory.path + "/f")
        #expect(found.records == Self.records.count && found.failure == nil)
    }

    @Test func noticesEveryFlippedBit() throws {
        let directory = try TemporaryDirectory()
        let bytes = try write(Self.records, to: directory.path + "/e")
        for bit in 0..<bytes.count * 8 {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << (bit % 8)
            let failure = try read(flipped, directory.path + "/f").failure
            #expect(failure != nil, "bit \(bit) of \(bytes.count * 8)")
        }
    }

    @Test func saysWhereItIsCutOff() throws {
        let directory = try TemporaryDirectory()
        let bytes = try write(Self.records, to: directory.path + "/e")
        for count in 8..<bytes.count {
            let found = try read(Array(bytes[..<count]), directory.path + "/f")
            guard case .cutOff(_, let position)? = found.failure else {
                Issue.record("cut to \(count) of \(bytes.count) bytes: \(found)")
                continue
            }
            #expect(position <= count && found.records < Self.records.count)
        }
        for count in 0..<8 {
            let failure = try read(Array(bytes[..<count]), directory.path + "/f").failure
            guard case .notExport? = failure else {
                Issue.record("cut to \(count) bytes: \(String(describing: failure))")
                continue
            }
        }
    }

    @Test func refusesRecordsWhereTheyMakeNoSense() throws {
        let directory = try TemporaryDirectory()
        let all = Self.records
        var orders: [[(ArchiveRecord, [UInt8])]] = [
            Array(all.dropFirst()), [all[0], all[0]], [all[0], all[1], all[1]], [all[0], all[2]], [all[0], all[3]],
            [all[0], all[1], all[2], all[2]], [all[0], all[1], all[2], all[1]], [all[0], all[5]],
            [all[0], all[1], all[2], all[6]], [all[0], all[1], all[2], all[3], all[3]],
            [all[0], all[1], all[2], all[4], all[3]], [all[0], all[1], all[2], all[3], all[5]],
            [all[0], all[1], all[2], (all[3].0, [1, 2, 3])], [all[0], (all[1].0, [1])], all + [all[0]],
        ]
        var other = Self.chunk
        for change: (inout ArchivedChunk) -> Void in [
            { $0.rank = 1 }, { $0.component = 1 }, { $0.tokens = 0 }, { $0.tokens = .max }, { $0.offset = .max },
            { $0.offset = Limits.offsetTokens - 1 },
        ] {
            other = Self.chunk
            change(&other)
            orders.append([all[0], all[1], all[2], (.chunk(other), Array(0..<16))])
        }
        var session = Self.session
        session.name = "a\nb"
        orders.append([all[0], all[1], (.session(session), [])])
        session = Self.session
        session.ranks = []
        orders.append([all[0], all[1], (.session(session), [])])
        var model = Self.model
        model.components[0].layers = .max
        orders.append([all[0], (.model(number: 7, model), [])])
        for (index, order) in orders.enumerated() {
            let found = try read(try write(order, to: directory.path + "/e"), directory.path + "/f")
            guard case .damaged? = found.failure else {
                Issue.record("order \(index): \(found)")
                continue
            }
        }
    }

    @Test func refusesOtherFilesAndVersions() throws {
        let directory = try TemporaryDirectory()
        var bytes = try write(Self.records, to: directory.path + "/e")
        #expect("\(try read(Array("hello, world".utf8), directory.path + "/f").failure!)".contains("no export"))
        bytes[4] = 2
        #expect("\(try read(bytes, directory.path + "/f").failure!)".contains("version 2"))
    }
}
