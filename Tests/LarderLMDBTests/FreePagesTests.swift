import Glibc
import LarderLMDB
import LarderSystem
import Testing

/// Giving back what ``Environment/freePages(after:_:)`` shows takes nothing from any snapshot that somebody may yet see.
@Suite struct FreePagesTests {
    /// Sees a snapshot by its keys and, of each value, a byte of each page and more.
    private func fingerprint(_ transaction: borrowing ReadTransaction, _ databases: [Database]) throws -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for database in databases {
            try transaction.scan(database, from: UnsafeRawBufferPointer(start: nil, count: 0)) { key, value in
                key.forEach(add)
                for index in stride(from: 0, to: value.count, by: 509) { add(value[index]) }
                withUnsafeBytes(of: value.count) { $0.forEach(add) }
                return true
            }
        }
        return hash
    }

    private func open(_ environment: borrowing Environment) throws -> [Database] {
        let transaction = try WriteTransaction(environment)
        let databases = try Churn.names.map { try transaction.open($0.name, keys: $0.keys) }
        try transaction.commit()
        return databases
    }

    private func now(_ environment: borrowing Environment, _ databases: [Database]) throws -> UInt64 {
        try fingerprint(try ReadTransaction.renewed(environment), databases)
    }

    private func giveBack(_ environment: borrowing Environment) throws -> Int {
        var pages = 0
        let descriptor = environment.dataDescriptor
        var scan = Environment.FreePagesScan()
        var calls = 0
        // In steps: each takes three runs and is refused a fourth.
        repeat {
            calls += 1
            var left = 3
            try environment.freePages(&scan) { first, count in
                if left == 0 { return false }
                left -= 1
                try FileSpace.punchHole(descriptor: descriptor, at: first * 4_096, bytes: count * 4_096)
                pages += count
                return true
            }
        } while !scan.isAtEnd && calls < 100_000
        #expect(scan.isAtEnd)
        return pages
    }

    /// What a power loss leaves that takes the newest meta page along: the file with what that page held before.
    private func withoutLastCommit(_ directory: TemporaryDirectory, _ before: DataFile) throws -> TemporaryDirectory {
        let lost = try TemporaryDirectory()
        var file = try DataFile(directory.dataFile)
        let newest = file.meta
        for index in newest..<newest + 136 { file.bytes[index] = before.bytes[index] }
        try FileSystem.write(file.bytes, to: lost.dataFile)
        return lost
    }

    @Test(arguments: [UInt64(1), 2, 3]) func losesNothingThatIsSeen(seed: UInt64) throws {
        print("FreePagesTests: churn seed \(seed)")
        let directory = try TemporaryDirectory()
        var churn = Churn(seed: seed)
        var given = 0
        for deletes in [0.1, 0.6, 0.9, 0.3] {
            let environment = try directory.environment()
            let databases = try open(environment)
            let reader = try ReadTransaction(environment)
            var held: UInt64?
            var before = try now(environment, databases)
            for round in 0..<16 {
                if round % 8 == 2 {
                    try reader.renew()
                    held = try fingerprint(reader, databases)
                }
                if round % 8 == 6 {
                    reader.reset()
                    held = nil
                }
                let old = round % 5 == 0 ? try DataFile(directory.dataFile) : nil
                try churn.commit(
                    environment, operations: Int.random(in: 1...30, using: &churn.generator), deletes: deletes)
                let after = try now(environment, databases)
                given += try giveBack(environment)
                #expect(try now(environment, databases) == after)
                if let held { #expect(try fingerprint(reader, databases) == held) }
                try FileCheck.check(path: directory.dataFile)
                if let old {
                    let lost = try withoutLastCommit(directory, old)
                    try FileCheck.check(path: lost.dataFile)
                    let other = try lost.environment()
                    #expect(try now(other, try open(other)) == before)
                }
                before = after
            }
        }
        #expect(given > 100)
        #expect(
            FileSpace.allocatedBytes(directory.dataFile) < (FileSystem.size(directory.dataFile) ?? 0),
            "nothing was given back")
    }

    @Test func showsNothingToAnOldReaderAndAllWithoutOne() throws {
        let directory = try TemporaryDirectory()
        let environment = try directory.environment()
        #expect(environment.oldestReader() == nil)
        var churn = Churn(seed: 9)
        try churn.commit(environment, operations: 30, deletes: 0)
        let reader = try ReadTransaction.renewed(environment)
        #expect(environment.oldestReader() == 1)
        for _ in 0..<4 { try churn.commit(environment, operations: 30, deletes: 0.8) }
        #expect(try giveBack(environment) == 0)
        reader.reset()
        #expect(environment.oldestReader() == nil)
        #expect(try giveBack(environment) > 0)
        withExtendedLifetime(reader) {}
    }

    /// The bound that lets a commit go ahead is one: checked against what the file system says that it wrote.
    @Test(arguments: [UInt64(5), 6]) func boundsWhatACommitWrites(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let environment = try directory.environment()
        let databases = try open(environment)
        var churn = Churn(seed: seed)
        for _ in 0..<12 { try churn.commit(environment, operations: 60, deletes: 0.4) }
        var generator = SeededGenerator(seed: seed)
        for round in 0..<60 {
            _ = try giveBack(environment)
            let before = FileSpace.allocatedBytes(directory.dataFile)
            let transaction = try WriteTransaction(environment)
            for _ in 0..<Int.random(in: 1...20, using: &generator) {
                let number = UInt64.random(in: 0..<400, using: &generator)
                let value = [UInt8](repeating: 1, count: Int.random(in: 0...9_000, using: &generator))
                try withUnsafeBytes(of: number) { key in
                    if round % 3 == 0 { _ = try transaction.delete(databases[0], key) }
                    try value.withUnsafeBytes { try transaction.put(databases[Int(number % 3)], key, $0) }
                }
            }
            let pages = try environment.information().lastPage + 1
            let bound = try transaction.dirtyPagesAtMost(databases, filePages: pages + 1_000)
            try transaction.commit()
            let grown = (FileSpace.allocatedBytes(directory.dataFile) - before) / 4_096
            #expect(grown <= bound + bound / 340 + 1, "round \(round)")
        }
    }
}

/// The map moves between transactions, and readers wait for it.
@Suite struct MapTests {
    @Test func movesTheMapOnlyBetweenSnapshots() throws {
        let directory = try TemporaryDirectory()
        let environment = try Environment(path: directory.path, mapBytes: 1 << 20, databases: 8, readers: 8)
        var churn = Churn(seed: 4)
        try churn.commit(environment, operations: 10, deletes: 0)
        let reader = try ReadTransaction.renewed(environment)
        #expect(try environment.setMap(bytes: 8 << 20, until: Clock.now() + 2_000_000) == nil)
        #expect(try environment.information().mapBytes == 1 << 20)
        reader.reset()
        #expect(try environment.setMap(bytes: 8 << 20, until: Clock.deadline(seconds: 5)) == 8 << 20)
        for _ in 0..<3 { try churn.commit(environment, operations: 60, deletes: 0) }
        let used = (try environment.information().lastPage + 1) * 4_096
        #expect(used > 1 << 20)
        // Never below what the file has.
        #expect(try environment.setMap(bytes: 1 << 20, until: Clock.deadline(seconds: 5)) == used)
        try reader.renew()
        #expect(throws: LMDBError.self) { try environment.setMap(bytes: 1 << 50, until: Clock.now()) }
        withExtendedLifetime(reader) {}
    }

    @Test func gateLetsOneBeAloneAmongMany() throws {
        let gate = SharedGate()
        let state = Monitor<(inside: Int, stop: Bool, passes: Int, running: Int)>((0, false, 0, 0))
        for number in 0..<4 {
            state.withLock { $0.running += 1 }
            try WorkerThread(name: "reader-\(number)") {
                while !state.withLock({ $0.stop }) {
                    gate.enter()
                    state.withLock { $0.inside += 1 }
                    state.withLock {
                        $0.inside -= 1
                        $0.passes += 1
                    }
                    gate.leave()
                }
                state.signal { $0.running -= 1 }
            }.detach()
        }
        var times = 0
        for _ in 0..<500 where gate.close(until: Clock.deadline(seconds: 5)) {
            #expect(state.withLock { $0.inside } == 0)
            times += 1
            gate.open()
            // Those who wait at the gate need a moment to see that it is open.
            Clock.yield(microseconds: 200) { false }
        }
        state.withLock { $0.stop = true }
        _ = state.wait { $0.running == 0 ? true : nil }
        #expect(times == 500 && state.withLock { $0.passes } > 0)
        gate.enter()
        #expect(!gate.close(until: Clock.now() + 1_000_000))
        gate.leave()
        #expect(gate.close(until: Clock.now() + 1_000_000))
        gate.open()
    }
}
