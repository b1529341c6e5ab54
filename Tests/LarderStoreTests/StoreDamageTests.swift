import LarderCodec
import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// Damaged, truncated and foreign store files: refused by name, or a miss; never served.
@Suite struct StoreDamageTests {
    /// A closed store of a few chunks, and the path of its data file.
    private func closedStore() throws -> (fixture: StoreFixture, path: String, session: UInt64, chunks: [[UInt8]]) {
        let fixture = try StoreFixture()
        let session = try fixture.session("a")
        var generator = SeededGenerator(seed: 11)
        let chunks = (0..<8).map { _ in generator.bytes(StoreFixture.hybrid.components[0].byteCount(tokens: 64)) }
        for (index, chunk) in chunks.enumerated() {
            try fixture.put(session, component: 0, offset: UInt64(index * 64), tokens: 64, chunk)
        }
        fixture.store.close()
        return (fixture, fixture.configuration.directory + "/shard-0/data.mdb", session, chunks)
    }

    private func write(_ bytes: [UInt8], to path: String) throws { try FileSystem.write(bytes, to: path) }

    /// Opens a copy of the store's directory with another data file.
    private func open(_ fixture: StoreFixture, data: [UInt8]) throws -> (Store, TemporaryDirectory) {
        let directory = try TemporaryDirectory()
        try FileSystem.makeDirectory(directory.path + "/store/shard-0")
        try write(data, to: directory.path + "/store/shard-0/data.mdb")
        var configuration = fixture.configuration
        configuration.directory = directory.path + "/store"
        return (try Store(configuration, log: StoreFixture.silent), directory)
    }

    @Test func refusesATruncatedFile() throws {
        let (fixture, path, _, _) = try closedStore()
        let data = try FileSystem.read(path, limit: 64 << 20)
        for count in [100, 4_096, 8_192, data.count / 2, data.count / 4 * 3] {
            do {
                _ = try open(fixture, data: Array(data[..<count]))
                Issue.record("a store cut to \(count) of \(data.count) bytes was opened")
            } catch let error as LarderError {
                #expect(error.code == .storeUnusable)
                #expect(error.message.contains("data.mdb"))
            }
        }
    }

    @Test func refusesForeignAndNewerStores() throws {
        let (fixture, path, _, _) = try closedStore()
        #expect(code { _ = try open(fixture, data: Array("not a database".utf8)) } == .storeUnusable)
        // The format record under its key, with another version and a checksum that holds.
        var data = try FileSystem.read(path, limit: 64 << 20)
        let key = Array("format".utf8)
        var found = 0
        for index in 0..<data.count - 64 where Array(data[index..<index + key.count]) == key {
            let fields = index + key.count..<index + key.count + 28
            data[fields.lowerBound] = 99
            let sealed = key + data[fields]
            let checksum = sealed.withUnsafeBytes { CRC32C.checksum($0) }
            withUnsafeBytes(of: checksum.littleEndian) {
                data.replaceSubrange(fields.upperBound..<fields.upperBound + 4, with: $0)
            }
            found += 1
        }
        #expect(found > 0)
        do {
            _ = try open(fixture, data: data)
            Issue.record("a newer store was opened")
        } catch let error as LarderError {
            #expect(error.code == .storeUnusable)
            #expect(error.message.contains("store format 99"), "\(error.message)")
        }
    }

    @Test func tellsDamageFromConflict() throws {
        let (fixture, path, session, chunks) = try closedStore()
        var data = try FileSystem.read(path, limit: 64 << 20)
        // In the middle of a chunk's bytes.
        let magic = Array("LCK1".utf8)
        let start = stride(from: 16, to: data.count - 4, by: 8).first { Array(data[$0..<$0 + 4]) == magic }!
        data[start + 4_000] ^= 1
        let (store, directory) = try open(fixture, data: data)
        defer { withExtendedLifetime(directory) {} }
        let reader = StoreReader(store, userID: 0)
        let codes = chunks.indices.map { index in
            let outcome = Monitor<Store.PageOutResult?>(nil)
            chunks[index].withUnsafeBytes { raw in
                let item = PageOutItem(
                    session: session, rank: 0, component: 0, offset: UInt64(index * 64), tokens: 64, bytes: raw)
                store.pageOut([item], encoding: .auto, acknowledgement: .committed, reader: reader) { results in
                    outcome.signal { $0 = results[0] }
                }
            }
            return code { _ = try outcome.wait { $0 }!.get() }
        }
        #expect(codes.filter { $0 == .damaged }.count == 1)
        #expect(codes.filter { $0 == nil }.count == chunks.count - 1)
        try store.truncate(session: session, offset: 0)
        #expect(try reader.chunks(session: session, from: ChunkPosition()).isEmpty)
        store.close()
    }

    @Test func losesOnlyTheChunkOfADamagedRecord() throws {
        let (fixture, path, session, chunks) = try closedStore()
        var data = try FileSystem.read(path, limit: 64 << 20)
        // The record of the chunk at 128 in the first line: its key, then its fields.
        let key =
            withUnsafeBytes(of: UInt64(1).bigEndian) { Array($0) }
            + withUnsafeBytes(of: UInt64(128).bigEndian) { Array($0) }
        for index in 0..<data.count - 64
        where Array(data[index..<index + 16]) == key && data[index + 16 + 16] == 64 {
            data[index + 16 + 9] ^= 1
        }
        let (store, directory) = try open(fixture, data: data)
        defer { withExtendedLifetime(directory) {} }
        let reader = StoreReader(store, userID: 0)
        #expect(try reader.resume(session: session, atMost: .max).reaches[0].offset == 128)
        #expect(try reader.chunks(session: session, from: ChunkPosition()).count == chunks.count - 1)
        #expect(try reader.verify(session: session, from: ChunkPosition()).damaged.count == 1)
        try store.truncate(session: session, offset: 128)
        #expect(try reader.verify(session: session, from: ChunkPosition()).damaged.isEmpty)
        #expect(try reader.resume(session: session, atMost: .max).reaches[0].offset == 128)
        store.close()
    }

    @Test func servesNoFlippedBit() throws {
        let (fixture, path, session, chunks) = try closedStore()
        let data = try FileSystem.read(path, limit: 64 << 20)
        var generator = SeededGenerator(seed: testSeed("servesNoFlippedBit"))
        var refused = 0
        var missed = 0
        for _ in 0..<400 {
            var damaged = data
            let place = Int.random(in: 0..<data.count, using: &generator)
            damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            let opened: (Store, TemporaryDirectory)
            do { opened = try open(fixture, data: damaged) } catch let error as LarderError {
                #expect(error.code == .storeUnusable || error.code == .damaged)
                refused += 1
                continue
            }
            let reader = StoreReader(opened.0, userID: 0)
            for (index, chunk) in chunks.enumerated() {
                let room = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk.count, alignment: 64)
                defer { room.deallocate() }
                let item = PageInItem(session: session, rank: 0, component: 0, offset: UInt64(index * 64))
                let results = reader.pageIn([item]) { found in
                    found.map { one in
                        one.rawBytes == chunk.count
                            ? .success(room) : .failure(LarderError(.damaged, "another size"))
                    }
                }
                switch results[0] {
                case .success: #expect(Array(room) == chunk, "a flipped bit at \(place) was served")
                case .failure(let error):
                    #expect(
                        [.damaged, .miss, .unknownSession, .unknownComponent, .forbidden, .storage].contains(
                            error.code), "\(error)")
                    missed += 1
                }
            }
            opened.0.close()
        }
        print("servesNoFlippedBit: 400 flips, \(refused) stores refused, \(missed) chunks not served")
        #expect(refused + missed > 0)
    }

    @Test func namesADirectoryThatCannotBeWritten() throws {
        let directory = try TemporaryDirectory()
        try write([], to: directory.path + "/file")
        let configuration = StoreConfiguration(directory: directory.path + "/file/store", capBytes: 64 << 20)
        do {
            _ = try Store(configuration, log: StoreFixture.silent)
            Issue.record("a store was made under a file")
        } catch {
            #expect(error.code == .storage)
            #expect(error.message.contains(directory.path))
        }
        // A file system that takes no directories, whoever asks.
        let system = StoreConfiguration(directory: "/sys/larder", capBytes: 64 << 20)
        do {
            _ = try Store(system, log: StoreFixture.silent)
            Issue.record("a store was made in /sys")
        } catch {
            #expect(error.code == .storage)
            #expect(error.message.contains("/sys/larder"))
        }
    }
}
