import LarderModel
import LarderStore
import LarderSystem
import LarderTestSupport
import Testing

/// The cap changes while the store is open, and between; what it takes of the disk is asked of the file system.
@Suite(.serialized) struct CapTests {
    private static let tokens: UInt32 = 256

    /// Bytes of one chunk: 64 KiB that no encoding shrinks.
    private static func bytes(_ session: UInt64, _ index: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: session << 20 | index)
        let count = StoreFixture.hybrid.components[0].byteCount(tokens: tokens)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes += $0 } }
        return Array(bytes.prefix(count))
    }

    /// Puts chunks until `count` sessions of 10 are made; returns them. Refusals are `full`.
    @discardableResult
    private func fill(_ fixture: StoreFixture, sessions: Range<Int>) throws -> [UInt64] {
        try sessions.map { number in
            let session = try fixture.session("s\(number)")
            for index in UInt64(0)..<10 {
                let refusal = code {
                    try fixture.put(
                        session, component: 0, offset: index * UInt64(Self.tokens), tokens: Self.tokens,
                        Self.bytes(session, index), encoding: .raw)
                }
                #expect(refusal == nil || refusal == .full)
            }
            return session
        }
    }

    /// Checks all that is left byte for byte; returns how many chunks that is.
    @discardableResult
    private func verify(_ fixture: StoreFixture, _ sessions: [UInt64]) throws -> Int {
        var count = 0
        for session in sessions {
            for chunk in try fixture.reader.chunks(session: session, from: ChunkPosition()) {
                do {
                    let found = try fixture.get(session, component: 0, offset: chunk.offset)
                    #expect(found == Self.bytes(session, chunk.offset / UInt64(Self.tokens)))
                    count += 1
                } catch let error as LarderError where error.code == .miss { /* evicted since it was listed */  }
            }
        }
        return count
    }

    private func statistic(_ store: Store, _ name: String) -> UInt64 {
        store.statistics().first { $0.name == name }?.value ?? 0
    }

    /// Waits until the disk holds no more than the cap.
    private func waitForCap(_ store: Store) -> Bool {
        let deadline = Clock.deadline(seconds: 60)
        while store.diskBytes > store.capBytes {
            guard Clock.now() < deadline else { return false }
            Clock.sleep(milliseconds: 5)
        }
        return true
    }

    /// Waits until nothing goes any more.
    private func settle(_ store: Store) {
        var last: UInt64 = 0
        var same = 0
        while same < 10 {
            Clock.sleep(milliseconds: 20)
            let used = statistic(store, "used_bytes")
            same = used == last ? same + 1 : 0
            last = used
        }
    }

    @Test func raisesAFullStoreAndFillsFurther() throws {
        let fixture = try StoreFixture(capBytes: 8 << 20)
        let first = try fill(fixture, sessions: 0..<20)
        let before = try verify(fixture, first)
        #expect(fixture.store.diskBytes <= 8 << 20)
        try fixture.store.setCap(24 << 20)
        #expect(statistic(fixture.store, "cap_bytes") == 24 << 20)
        let evicted = statistic(fixture.store, "evicted_cold_chunks")
        let second = try fill(fixture, sessions: 20..<38)
        #expect(statistic(fixture.store, "evicted_cold_chunks") == evicted)
        #expect(try verify(fixture, first) == before)
        #expect(try verify(fixture, second) == 180)
        #expect(fixture.store.diskBytes > 12 << 20 && fixture.store.diskBytes <= 24 << 20)
        try fill(fixture, sessions: 40..<70)
        #expect(fixture.store.diskBytes <= 24 << 20)
    }

    /// What runs beside a cap that changes.
    private struct Load {
        var stop = false
        var running = 0
        var pageIns = 0
        var wrong = 0
        var errors: [ErrorCode: Int] = [:]
    }

    /// Readers that page in what they find and compare it, until told to stop.
    private func startReaders(_ fixture: StoreFixture, _ sessions: [UInt64], _ load: Monitor<Load>) throws {
        for number in 0..<3 {
            load.withLock { $0.running += 1 }
            let store = fixture.store
            try WorkerThread(name: "reader-\(number)") {
                var generator = SeededGenerator(seed: UInt64(number))
                let reader = StoreReader(store, userID: 0)
                let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
                while !load.withLock({ $0.stop }) {
                    let session = sessions.randomElement(using: &generator)!
                    let index = UInt64.random(in: 0..<10, using: &generator)
                    let item = PageInItem(
                        session: session, rank: 0, component: 0, offset: index * UInt64(Self.tokens))
                    let result = reader.pageIn([item]) { found in
                        found.map { .success(UnsafeMutableRawBufferPointer(rebasing: room[..<$0.rawBytes])) }
                    }[0]
                    load.withLock { load in
                        switch result {
                        case .success(let chunk):
                            load.pageIns += 1
                            let isRight = room[..<chunk.rawBytes].elementsEqual(Self.bytes(session, index))
                            if !isRight { load.wrong += 1 }
                        case .failure(let error): load.errors[error.code, default: 0] += 1
                        }
                    }
                }
                room.deallocate()
                load.signal { $0.running -= 1 }
            }.detach()
        }
    }

    @Test func lowersUnderLoad() throws {
        let fixture = try StoreFixture(capBytes: 64 << 20)
        var sessions = try fill(fixture, sessions: 0..<90)
        let full = fixture.store.diskBytes
        #expect(full > 56 << 20)
        let load = Monitor(Load())
        try startReaders(fixture, sessions, load)
        var slowest = 0
        var samples = 0
        var worst = Int.min
        for (step, cap) in [40 << 20, 16 << 20, 48 << 20, 12 << 20].enumerated() {
            let start = Clock.now()
            try fixture.store.setCap(cap)
            #expect(waitForCap(fixture.store), "the disk holds \(fixture.store.diskBytes), cap \(cap)")
            slowest = max(slowest, Int((Clock.now() - start) / 1_000_000))
            // Reached once, it is never passed again, whatever is put.
            for number in 0..<12 {
                sessions += try fill(fixture, sessions: (100 + step * 20 + number)..<(101 + step * 20 + number))
                worst = max(worst, fixture.store.diskBytes - cap)
                samples += 1
            }
        }
        #expect(worst <= 0, "the disk held \(worst) bytes more than the cap")
        load.withLock { $0.stop = true }
        _ = load.wait { $0.running == 0 ? true : nil }
        let done = load.withLock { $0 }
        #expect(done.wrong == 0 && done.pageIns > 100)
        #expect(Set(done.errors.keys).isSubset(of: [.miss]), "\(done.errors)")
        settle(fixture.store)
        let left = try verify(fixture, sessions)
        #expect(left > 60, "only \(left) chunks of 64 KiB are left in 12 MiB")
        print(
            "lowersUnderLoad: \(full >> 20) MiB to 12, slowest step \(slowest) ms, \(done.pageIns) page-ins, "
                + "\(samples) samples, worst \(worst) bytes from the cap, \(left) chunks left")
        try fixture.reopen(capBytes: 12 << 20)
        // The sweep may go on to its low mark; what is there is what was put.
        let after = try verify(fixture, sessions)
        #expect(after <= left && after > 60, "\(after) of \(left)")
    }

    /// One that only ever grew: what frees must write before anything is free.
    @Test(arguments: [false, true]) func lowersAFileWithoutFreePages(atOpening: Bool) throws {
        let fixture = try StoreFixture(capBytes: 64 << 20)
        let sessions = try fill(fixture, sessions: 0..<40)
        if atOpening { try fixture.reopen(capBytes: 12 << 20) } else { try fixture.store.setCap(12 << 20) }
        #expect(waitForCap(fixture.store), "the disk holds \(fixture.store.diskBytes)")
        settle(fixture.store)
        #expect(try verify(fixture, sessions) > 60)
        #expect(try verify(fixture, try fill(fixture, sessions: 50..<60).suffix(1)) == 10)
        #expect(fixture.store.diskBytes <= 12 << 20)
    }

    /// A reader that holds its snapshot keeps all that is freed meanwhile on the disk: puts become `full`, the cap holds, and
    /// when the reader is gone all goes on by itself.
    @Test func goesOnAfterALongReader() throws {
        let fixture = try StoreFixture(capBytes: 48 << 20, adjust: { $0.queueWaitSeconds = 1 })
        let old = try fill(fixture, sessions: 0..<70)
        try fixture.store.setCap(12 << 20)
        #expect(waitForCap(fixture.store))
        settle(fixture.store)
        let reading = Monitor<(isIn: Bool, mayGo: Bool, isDone: Bool)>((false, false, false))
        let reader = StoreReader(fixture.store, userID: 0)
        let session = try old.last { try !fixture.reader.chunks(session: $0, from: ChunkPosition()).isEmpty }!
        nonisolated(unsafe) let holder = reader
        try WorkerThread(name: "holder") {
            let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
            _ = holder.pageIn([PageInItem(session: session, rank: 0, component: 0, offset: 0)]) { found in
                reading.signal { $0.isIn = true }
                _ = reading.wait { $0.mayGo ? true : nil }
                return found.map { .success(UnsafeMutableRawBufferPointer(rebasing: room[..<$0.rawBytes])) }
            }
            room.deallocate()
            reading.signal { $0.isDone = true }
        }.detach()
        _ = reading.wait { $0.isIn ? true : nil }
        var refusals = 0
        for number in 100..<400 where refusals < 3 {
            let refusal = code {
                let session = try fixture.session("s\(number)")
                try fixture.put(
                    session, component: 0, offset: 0, tokens: Self.tokens, Self.bytes(session, 0), encoding: .raw)
            }
            #expect(refusal == nil || refusal == .full)
            if refusal != nil { refusals += 1 }
            #expect(fixture.store.diskBytes <= 12 << 20)
        }
        #expect(refusals == 3)
        reading.signal { $0.mayGo = true }
        _ = reading.wait { $0.isDone ? true : nil }
        // A second is what a put waits for here: on a machine that others use, the first few may still be told "later".
        let deadline = Clock.deadline(seconds: 60)
        while code({ _ = try fill(fixture, sessions: 450..<451) }) == .full, Clock.now() < deadline {
            Clock.sleep(milliseconds: 100)
        }
        let sessions = try fill(fixture, sessions: 500..<510)
        #expect(try verify(fixture, sessions.suffix(1)) == 10)
        #expect(fixture.store.diskBytes <= 12 << 20)
    }

    /// Samples while puts go on, from another thread: between commits too.
    @Test func staysBelowALoweredCapAtEveryMoment() throws {
        let fixture = try StoreFixture(capBytes: 48 << 20)
        try fill(fixture, sessions: 0..<70)
        try fixture.store.setCap(12 << 20)
        #expect(waitForCap(fixture.store))
        func speed(_ fixture: StoreFixture) throws -> Int {
            try fill(fixture, sessions: 200..<230)
            let start = Clock.now()
            try fill(fixture, sessions: 230..<260)
            return 30 * 10 * 65_536 / Int((Clock.now() - start) / 1_000)
        }
        let lowered = try speed(fixture)
        let usual = try speed(try StoreFixture(capBytes: 12 << 20))
        let samples = Monitor<(stop: Bool, worst: Int, count: Int, ended: Bool)>((false, .min, 0, false))
        let store = fixture.store
        try WorkerThread(name: "sampler") {
            while !samples.withLock({ $0.stop }) {
                let excess = store.diskBytes - (12 << 20)
                samples.withLock {
                    $0.worst = max($0.worst, excess)
                    $0.count += 1
                }
            }
            samples.signal { $0.ended = true }
        }.detach()
        let sessions = try fill(fixture, sessions: 100..<140)
        samples.withLock { $0.stop = true }
        _ = samples.wait { $0.ended ? true : nil }
        let found = samples.withLock { $0 }
        print(
            "staysBelowALoweredCapAtEveryMoment: \(found.count) samples, worst \(found.worst), "
                + "puts at the cap: \(lowered) MB/s lowered, \(usual) in a store that was made so")
        #expect(found.worst <= 0 && found.count > 100)
        // The last came in.
        #expect(try verify(fixture, [sessions.last!]) == 10)
    }

    @Test func opensWithAnotherCap() throws {
        let fixture = try StoreFixture(capBytes: 32 << 20)
        var sessions = try fill(fixture, sessions: 0..<45)
        let path = fixture.configuration.directory + "/shard-0/data.mdb"
        let length = FileSystem.size(path)!
        // Too much is in it for a copy beside it: it is lowered while it is open.
        try fixture.reopen(capBytes: 16 << 20)
        #expect(waitForCap(fixture.store))
        #expect(FileSystem.size(path)! == length)
        settle(fixture.store)
        let left = try verify(fixture, sessions)
        #expect(left > 100)
        sessions += try fill(fixture, sessions: 50..<60)
        #expect(fixture.store.diskBytes <= 16 << 20)
        // Emptied to a few, it is written anew at the next start, and is as long as it need be.
        for session in sessions.dropLast(3) { try fixture.store.drop(session: session) }
        try fixture.settle()
        let kept = try verify(fixture, sessions.suffix(3))
        #expect(kept == 30)
        try FileSystem.write([1, 2, 3], to: path + ".new")
        try fixture.reopen()
        #expect(FileSystem.size(path)! < 8 << 20)
        #expect(!FileSystem.exists(path + ".new"))
        #expect(try verify(fixture, sessions.suffix(3)) == kept)
        try fixture.reopen(capBytes: 64 << 20)
        sessions = try fill(fixture, sessions: 60..<100)
        #expect(try verify(fixture, sessions) == 400)
        #expect(fixture.store.diskBytes <= 64 << 20)
    }

    @Test func removesASecondFileThatIsLeftOver() throws {
        let fixture = try StoreFixture(capBytes: 8 << 20)
        let path = fixture.configuration.directory + "/shard-0/data.mdb.new"
        fixture.store.close()
        try FileSystem.write([UInt8](repeating: 7, count: 1 << 20), to: path)
        try fixture.reopen()
        #expect(!FileSystem.exists(path))
    }

    private func refusal(_ body: () throws -> Void) -> LarderError? {
        do {
            try body()
            return nil
        } catch { return error as? LarderError }
    }

    @Test func refusesACapByName() throws {
        let fixture = try StoreFixture(capBytes: 80 << 20, shards: 2)
        let small = refusal { try fixture.store.setCap(1 << 20) }
        #expect(small?.code == .invalidArgument)
        // The bound that it names is one that it takes.
        let bound = small?.message.split { !$0.isNumber }.compactMap { Int($0) }.last
        try fixture.store.setCap(try #require(bound))
        #expect(refusal { try fixture.store.setCap(bound! - 1) }?.code == .invalidArgument)
        #expect(refusal { try fixture.store.setCap(0) }?.code == .invalidArgument)
        #expect(refusal { try fixture.store.setCap(-1) }?.code == .invalidArgument)
        #expect(refusal { try fixture.store.setCap(Limits.capBytes + 1) }?.message.contains("largest") ?? false)
        #expect(fixture.store.capBytes == bound)
        try fixture.store.setCap(80 << 20)
        try fill(fixture, sessions: 0..<2)
        var change = NamespaceChange()
        change.minBytes = 40 << 20
        try fixture.store.configure(namespace: "test", change, by: Principal(userID: 0))
        let minima = refusal { try fixture.store.setCap(20 << 20) }
        #expect(minima?.code == .invalidArgument && minima?.message.contains("minimum") ?? false)
        #expect(fixture.store.capBytes == 80 << 20)
    }

    @Test func refusesToLowerFurtherThanTheListOfFreePagesAllows() throws {
        let fixture = try StoreFixture(capBytes: 160 << 20)
        try fill(fixture, sessions: 0..<160)
        let length = FileSystem.size(fixture.configuration.directory + "/shard-0/data.mdb")!
        #expect(length > 90 << 20)
        let refused = refusal { try fixture.store.setCap(7 << 20) }
        #expect(refused?.code == .invalidArgument)
        let bound = try #require(refused?.message.split { !$0.isNumber }.compactMap { Int($0) }.dropFirst().first)
        try fixture.store.setCap(bound)
        #expect(waitForCap(fixture.store), "the disk holds \(fixture.store.diskBytes), cap \(bound)")
        let sessions = try fill(fixture, sessions: 200..<206)
        #expect(fixture.store.diskBytes <= bound)
        #expect(try verify(fixture, [sessions.last!]) == 10)
        // What the refusal advises.
        try fixture.reopen(capBytes: 2 * bound)
        try fixture.store.setCap(5 << 20)
        #expect(waitForCap(fixture.store))
        #expect(try verify(fixture, [sessions.last!]) == 10)
    }
}
