import LarderLMDB
import LarderSystem

extension FuzzTarget {
    /// A damaged LMDB data file: a sound one, and changes to it that the input lists (``DataFilePatch``). The file
    /// check refuses it; or LMDB reads every entry that the check counted, and commits, and the file passes again. The
    /// first byte chooses the sound file and what is done after reading.
    static let dataFile = FuzzTarget("data-file", inputBytes: 1 << 10) { input in
        try DataFileCheck.shared.check(input)
    }
}

/// For one thread at a time.
private final class DataFileCheck: @unchecked Sendable {
    static let shared = DataFileCheck()
    /// Files that have grown beyond this, over a gap, are not checked again.
    private static let fileBytes = 64 << 20
    private static let mapBytes = 8 << 20

    private let directory = ScratchDirectory()
    private let bases: [[UInt8]]
    private var path: String { directory.path + "/data.mdb" }

    private init() {
        do { bases = try SoundDataFiles.make() } catch { fatalError("no sound data file to begin with: \(error)") }
    }

    func check(_ input: UnsafeRawBufferPointer) throws {
        var choices = Choices(input)
        let kind = choices.byte()
        var file = DataFileImage(bases[kind % bases.count])
        while !choices.rest.isEmpty { file.apply(DataFilePatch(&choices)) }
        try FileSystem.remove(directory.path + "/lock.mdb")
        try FileSystem.write(file.bytes, to: path)
        let report: FileCheck.Report
        do throws(FileCheck.Failure) { report = try FileCheck.check(path: path) } catch {
            if case .system(let error) = error { throw FuzzFinding("the file could not be read: \(error)") }
            return try require(!"\(error)".isEmpty, "damage without a word")
        }
        try use(report, writes: kind & 0x10 != 0, copies: kind & 0x20 != 0)
    }

    /// Has LMDB do what the store does with a file that passed. What LMDB itself refuses is no finding; a crash is.
    private func use(_ report: FileCheck.Report, writes: Bool, copies: Bool) throws {
        do {
            let environment = try Environment(
                path: directory.path, mapBytes: Self.mapBytes, databases: 16, readers: 4)
            try scan(environment, report)
            var free = Environment.FreePagesScan()
            try environment.freePages(&free) { first, count in first >= 2 && count > 0 }
            if copies {
                try FileSystem.remove(directory.path + "/copy")
                try environment.copyCompacted(to: directory.path + "/copy")
            }
            if writes { try write(environment, report) }
        } catch is LMDBError { return }
        guard writes, (FileSystem.size(path) ?? 0) <= Self.fileBytes else { return }
        do throws(FileCheck.Failure) { try FileCheck.check(path: path) } catch {
            throw FuzzFinding("a file that passed does not pass after a commit: \(error)")
        }
    }

    /// Reads every entry of the databases that the check named, in order and by its key.
    private func scan(_ environment: borrowing Environment, _ report: FileCheck.Report) throws {
        let transaction = try WriteTransaction(environment)
        for found in report.databases where Self.isName(found.name) {
            let database = try transaction.open(found.name, keys: found.keys)
            var entries = 0
            var sum: UInt8 = 0
            try transaction.scan(database, from: UnsafeRawBufferPointer(start: nil, count: 0)) { key, value in
                entries += 1
                for byte in value { sum &+= byte }
                let again = try transaction.get(database, key)
                try require(again?.baseAddress == value.baseAddress, "\(found.name): a key does not lead to its entry")
                let last = try transaction.last(database, notAbove: key) { name, _ in name.elementsEqual(key) }
                try require(last == true, "\(found.name): a key is not found in its place")
                return true
            }
            try require(
                entries == found.entries, "\(found.name) has \(entries) entries, the check said \(found.entries)")
        }
    }

    /// A name that LMDB can be asked for and the check has not repaired.
    private static func isName(_ name: String) -> Bool {
        !name.unicodeScalars.contains { $0 == "\0" || $0 == "\u{FFFD}" }
    }

    /// Puts short and long values and deletes what it finds, in two commits.
    private func write(_ environment: borrowing Environment, _ report: FileCheck.Report) throws {
        for round in 0..<2 {
            let transaction = try WriteTransaction(environment)
            for found in report.databases where Self.isName(found.name) {
                let database = try transaction.open(found.name, keys: found.keys)
                var keys: [[UInt8]] = []
                try transaction.scan(database, from: UnsafeRawBufferPointer(start: nil, count: 0)) { key, _ in
                    keys.append(Array(key))
                    return keys.count < 64
                }
                // Keys of the same length as those that are there: others are a fault of the caller's in such a tree.
                for (index, key) in keys.enumerated() where (index + round) % 3 == 0 {
                    _ = try key.withUnsafeBytes { try transaction.delete(database, $0) }
                }
                for (index, key) in keys.enumerated() where (index + round) % 3 == 1 {
                    let value = [UInt8](repeating: UInt8(round), count: index % 2 == 0 ? 30 : 9_000)
                    try key.withUnsafeBytes { name in
                        try value.withUnsafeBytes { try transaction.put(database, name, $0) }
                    }
                }
            }
            try transaction.commit()
        }
    }
}

/// One change to a data file: 12 bytes of an input.
private struct DataFilePatch {
    let page, kind, anchor, index: Int
    let width: Int
    let value: UInt64

    init(_ choices: inout Choices) {
        page = choices.byte()
        kind = choices.byte()
        anchor = choices.byte()
        index = choices.byte()
        width = choices.byte()
        let number = choices.number(6)
        let sign = choices.byte()
        // So that both small numbers and such as -2 are a byte or two away.
        value = sign & 1 == 0 ? number : 0 &- number
    }
}

/// A data file in memory, and where its structure is.
private struct DataFileImage {
    private static let pageBytes = 4_096
    private(set) var bytes: [UInt8]
    private var pages: Int { bytes.count / Self.pageBytes }

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func apply(_ patch: DataFilePatch) {
        guard pages > 0 else { return }
        let page = patch.page % pages * Self.pageBytes
        let place = min(place(patch, page), bytes.count - 8)
        let old = number(place)
        switch patch.kind % 8 {
        case 0, 1: set(place, patch.value, patch.width)
        case 2: set(place, old &+ patch.value, patch.width)
        case 3: set(place, old ^ patch.value, patch.width)
        case 4:
            // What another page has there.
            let other = Int(patch.value % UInt64(pages)) * Self.pageBytes
            set(place, number(min(self.place(patch, other), bytes.count - 8)), patch.width)
        case 5:
            let other = Int(patch.value % UInt64(pages)) * Self.pageBytes
            bytes.replaceSubrange(page..<page + Self.pageBytes, with: bytes[other..<other + Self.pageBytes])
        case 6: bytes.removeLast(min(bytes.count, Int(patch.value % UInt64(4 * Self.pageBytes))))
        default: bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: patch.value), count: patch.index % 4 * 4_096)
        }
    }

    /// A place in a page: in its header, a meta page's fields, a pointer, a node, or anywhere.
    private func place(_ patch: DataFilePatch, _ page: Int) -> Int {
        let lower = min(Int(number(page + 12) & 0xFFFF), Self.pageBytes)
        let nodes = max((lower - 16) / 2, 1)
        let pointer = page + 16 + 2 * (patch.index % nodes)
        let node = min(Int(number(pointer) & 0xFFFF), Self.pageBytes - 16)
        switch patch.anchor % 8 {
        case 0: return page + patch.index % 16
        case 1: return page + 16 + patch.index % 136
        case 2: return pointer
        case 3: return page + node
        case 4: return page + node + 4
        case 5: return page + node + 6
        case 6: return page + node + 8 + patch.width / 16
        default: return page + patch.index * 16 % Self.pageBytes + patch.width / 16
        }
    }

    private func number(_ place: Int) -> UInt64 {
        let place = max(0, min(place, bytes.count - 8))
        return bytes.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: UInt64.self))
        }
    }

    /// Writes the lowest 1, 2, 4 or 8 bytes of a number.
    private mutating func set(_ place: Int, _ value: UInt64, _ width: Int) {
        for index in 0..<1 << (width % 4) {
            bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }
}

/// Small sound files, the same in every run: of few pages; with long values and their free pages; of three levels.
private enum SoundDataFiles {
    static func make() throws -> [[UInt8]] {
        try [small, long, deep].map { fill in
            let directory = ScratchDirectory()
            do {
                let environment = try Environment(path: directory.path, mapBytes: 1 << 20, databases: 8, readers: 4)
                for round in 0..<4 { try commit(environment) { try fill($0, round) } }
            }
            let bytes = try FileSystem.read(directory.path + "/data.mdb", limit: 1 << 20)
            try FileSystem.write(bytes, to: directory.path + "/checked")
            try FileCheck.check(path: directory.path + "/checked")
            return bytes
        }
    }

    private static func commit(
        _ environment: borrowing Environment, _ fill: (borrowing WriteTransaction) throws -> Void
    ) throws {
        let transaction = try WriteTransaction(environment)
        try fill(transaction)
        try transaction.commit()
    }

    private static func put(
        _ transaction: borrowing WriteTransaction, _ database: Database, _ key: [UInt8], bytes: Int
    ) throws {
        let value = [UInt8](repeating: UInt8(truncatingIfNeeded: bytes), count: bytes)
        try key.withUnsafeBytes { name in try value.withUnsafeBytes { try transaction.put(database, name, $0) } }
    }

    private static func integer(_ number: Int) -> [UInt8] { withUnsafeBytes(of: UInt64(number)) { Array($0) } }

    private static func small(_ transaction: borrowing WriteTransaction, _ round: Int) throws {
        let chunks = try transaction.open("chunks", keys: .integers)
        let names = try transaction.open("names", keys: .bytes)
        for index in 0..<6 {
            try put(transaction, chunks, integer(6 * round + index), bytes: 200)
            try put(transaction, names, Array("name \(index) \(round)".utf8), bytes: 20 * index)
        }
    }

    private static func long(_ transaction: borrowing WriteTransaction, _ round: Int) throws {
        let chunks = try transaction.open("chunks", keys: .integers)
        for index in 0..<3 {
            try put(transaction, chunks, integer(3 * round + index), bytes: 5_000)
            if round > 1 {
                _ = try integer(3 * (round - 2) + index).withUnsafeBytes { try transaction.delete(chunks, $0) }
            }
        }
    }

    private static func deep(_ transaction: borrowing WriteTransaction, _ round: Int) throws {
        let names = try transaction.open("names", keys: .bytes)
        for index in 0..<16 {
            // Keys of LMDB's longest, so that a branch holds few.
            let key = [UInt8](repeating: UInt8(16 * round + index), count: 511)
            try put(transaction, names, key, bytes: 1_200)
        }
    }
}
