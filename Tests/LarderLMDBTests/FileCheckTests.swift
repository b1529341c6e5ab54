import Glibc
import LarderLMDB
import LarderSystem
import Testing

/// Sound files pass, and the report agrees with LMDB; files that are cut or altered are refused.
@Suite struct FileCheckTests {
    @Test func absentAndEmptyFilesAreNewStores() throws {
        let directory = try TemporaryDirectory()
        #expect(try FileCheck.check(path: directory.dataFile).pagesInUse == 0)
        try FileSystem.write([], to: directory.dataFile)
        #expect(try FileCheck.check(path: directory.dataFile).pagesInUse == 0)
    }

    @Test func newEnvironmentPasses() throws {
        let directory = try TemporaryDirectory()
        let environment = try directory.environment()
        #expect(try FileCheck.check(path: directory.dataFile).pagesInUse == 2)
        let transaction = try WriteTransaction(environment)
        _ = try transaction.open("chunks", keys: .integers)
        _ = try transaction.open("index", keys: .bytes)
        try transaction.commit()
        let report = try FileCheck.check(path: directory.dataFile)
        #expect(report.databases.map(\.name) == ["chunks", "index"])
        #expect(report.databases.map(\.keys) == [.integers, .bytes])
        #expect(report.entries == 0 && report.pagesInUse == 3 && report.lastTransaction == 1)
    }

    /// Growth, replacement, shrinking to nothing, readers that hold pages, reopening: each state between must pass.
    @Test(arguments: [UInt64(1), 2, 3, 4]) func everyStateUnderChurnPasses(seed: UInt64) throws {
        print("FileCheckTests: churn seed \(seed)")
        let directory = try TemporaryDirectory()
        var churn = Churn(seed: seed)
        for deletes in [0.1, 0.5, 0.9, 0.2, 1.0] {
            let environment = try directory.environment()
            let reader = try ReadTransaction(environment)
            for round in 0..<24 {
                if round % 8 == 2 { try reader.renew() }
                if round % 8 == 6 { reader.reset() }
                try churn.commit(
                    environment, operations: Int.random(in: 1...40, using: &churn.generator), deletes: deletes)
                try expectSound(directory, environment)
            }
        }
    }

    private func expectSound(_ directory: TemporaryDirectory, _ environment: borrowing Environment) throws {
        let report = try FileCheck.check(path: directory.dataFile)
        let information = try environment.information()
        let transaction = try WriteTransaction(environment)
        var pages = try transaction.ownPages() + 2
        #expect(report.databases.map(\.name) == Churn.names.map(\.name))
        for (entry, found) in zip(Churn.names, report.databases) {
            let statistics = try transaction.statistics(try transaction.open(entry.name, keys: entry.keys))
            #expect(found.keys == entry.keys)
            #expect(found.entries == statistics.entries)
            #expect(found.pages == statistics.pages)
            pages += statistics.pages
        }
        #expect(report.pagesInUse == pages)
        #expect(report.lastTransaction == information.lastTransaction)
        // LMDB accounts for every page: none leaks.
        #expect(report.leakedPages == 0)
        #expect(report.pagesInUse + report.freePages == information.lastPage + 1)
    }

    /// Deleting everything at once leaves a free list that is itself a large value.
    @Test func longFreeListPasses() throws {
        let directory = try TemporaryDirectory()
        let environment = try directory.environment()
        for step in 0..<6 {
            let transaction = try WriteTransaction(environment)
            let database = try transaction.open("chunks", keys: .integers)
            for number in 0..<UInt64(32) {
                try withUnsafeBytes(of: number) { key in
                    if step % 2 == 1 {
                        try transaction.delete(database, key)
                    } else {
                        _ = try transaction.reserve(database, appending: key, byteCount: 1 << 20)
                    }
                }
            }
            try transaction.commit()
            let report = try FileCheck.check(path: directory.dataFile)
            #expect(report.leakedPages == 0)
            if step % 2 == 1 { #expect(report.freePages > 8_000) }
        }
    }

    /// Whatever cuts off a page in use is refused, and the failure says how long the file should be.
    @Test func truncationIsRefused() throws {
        let directory = try TemporaryDirectory()
        var churn = Churn(seed: 5)
        do {
            let environment = try directory.environment()
            for deletes in [0.0, 0.0, 0.3, 0.6] { try churn.commit(environment, operations: 60, deletes: deletes) }
        }
        let file = try DataFile(directory.dataFile)
        let copy = try TemporaryDirectory()
        try FileSystem.write(file.bytes, to: copy.dataFile)
        var neededBytes = 0
        for page in stride(from: file.pages - 1, through: 0, by: -1) {
            for length in [(page + 1) * DataFile.pageBytes - 1, page * DataFile.pageBytes + 1] {
                try Descriptor.open(copy.dataFile, flags: O_WRONLY).truncate(to: length)
                do {
                    try FileCheck.check(path: copy.dataFile)
                    #expect(neededBytes == 0, "\(length) bytes pass, and more did not")
                } catch FileCheck.Failure.truncated(_, let fileBytes, let needed) {
                    #expect(fileBytes == length && needed > length)
                    neededBytes = max(neededBytes, needed)
                }
            }
        }
        // The last commit wrote the end of the file, so that any cut is too much.
        #expect(neededBytes == file.bytes.count)
    }

    /// A value that is stored and deleted in one transaction leaves free pages that were never written.
    @Test func freePagesBeyondTheFilePass() throws {
        let directory = try TemporaryDirectory()
        var churn = Churn(seed: 6)
        do {
            let environment = try directory.environment()
            for deletes in [0.0, 0.3, 0.3, 0.6] { try churn.commit(environment, operations: 20, deletes: deletes) }
            let transaction = try WriteTransaction(environment)
            let names = try transaction.open("names", keys: .bytes)
            let value = [UInt8](repeating: 1, count: 1 << 20)
            try value.withUnsafeBytes { value in
                // The search for room reads the free list, and so the delete gives the pages back to it at once.
                try transaction.put(names, UnsafeRawBufferPointer(rebasing: value[..<8]), value)
                try transaction.delete(names, UnsafeRawBufferPointer(rebasing: value[..<8]))
            }
            try transaction.commit()
        }
        let file = try DataFile(directory.dataFile)
        #expect(file.bytes.count < (file.lastPage + 1) * DataFile.pageBytes)
        #expect(try FileCheck.check(path: directory.dataFile).leakedPages == 0)
        let environment = try directory.environment()
        for _ in 0..<3 {
            try churn.commit(environment, operations: 30, deletes: 0.1)
            try FileCheck.check(path: directory.dataFile)
        }
    }

    @Test func foreignFilesAreNamed() throws {
        let directory = try TemporaryDirectory()
        try FileSystem.write(Array(repeating: 0x41, count: 20_000), to: directory.dataFile)
        #expect(throws: FileCheck.Failure.notLMDB(path: directory.dataFile)) {
            try FileCheck.check(path: directory.dataFile)
        }
        try FileSystem.remove(directory.dataFile)
        do { _ = try directory.environment() }
        var file = try DataFile(directory.dataFile)
        file.set(16 + 4, UInt32(2))
        try FileSystem.write(file.bytes, to: directory.dataFile)
        #expect(throws: FileCheck.Failure.version(path: directory.dataFile, version: 2)) {
            try FileCheck.check(path: directory.dataFile)
        }
        #expect(throws: FileCheck.Failure.self) { try FileCheck.check(path: directory.path) }
    }
}
