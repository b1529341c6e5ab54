import Glibc
import LarderLMDB
import LarderSystem

/// SplitMix64: the same numbers for the same seed, which every random test prints.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}

/// A directory that is removed when its owner goes.
final class TemporaryDirectory {
    let path: String
    /// Where LMDB keeps the data.
    var dataFile: String { path + "/data.mdb" }

    init() throws { path = try FileSystem.makeTemporaryDirectory(prefix: "larder-filecheck-") }

    deinit { FileSystem.removeTree(path) }

    /// Opens the environment in the directory.
    func environment() throws(LMDBError) -> Environment {
        try Environment(path: path, mapBytes: 256 << 20, databases: 8, readers: 8)
    }
}

/// Random puts, replacements and deletes in three databases, with a memory of the keys that live.
struct Churn {
    static let names: [(name: String, keys: Database.Keys)] = [
        ("chunks", .integers), ("index", .bytes), ("names", .bytes),
    ]
    var generator: SeededGenerator
    var live: [[[UInt8]]] = [[], [], []]
    var nextChunk: UInt64 = 1

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    private mutating func newKey(_ database: Int) -> [UInt8] {
        switch database {
        case 0:
            defer { nextChunk += 1 }
            return withUnsafeBytes(of: nextChunk) { Array($0) }
        case 1:
            return (0..<16).map { _ in UInt8.random(in: 0...3, using: &generator) }
        default:
            // Up to LMDB's longest, so that branches hold few keys and trees grow deep.
            let count = Int.random(in: 1...511, using: &generator)
            return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        }
    }

    private mutating func newValue(_ database: Int) -> [UInt8] {
        let longest = [40_000, 60, 3_000][database]
        let count = Int.random(in: 0...longest, using: &generator)
        return [UInt8](repeating: UInt8.random(in: 0...255, using: &generator), count: count)
    }

    /// One transaction of `operations`, of which the share `deletes` deletes.
    mutating func commit(_ environment: borrowing Environment, operations: Int, deletes: Double) throws {
        let transaction = try WriteTransaction(environment)
        for (index, entry) in Self.names.enumerated() {
            let database = try transaction.open(entry.name, keys: entry.keys)
            for _ in 0..<operations {
                if !live[index].isEmpty, Double.random(in: 0..<1, using: &generator) < deletes {
                    // The oldest chunk goes first, as in the store; elsewhere any.
                    let victim = index == 0 ? 0 : Int.random(in: 0..<live[index].count, using: &generator)
                    let key = live[index].remove(at: victim)
                    _ = try key.withUnsafeBytes { try transaction.delete(database, $0) }
                    continue
                }
                let replaces = !live[index].isEmpty && Int.random(in: 0..<4, using: &generator) == 0
                let key = replaces ? live[index].randomElement(using: &generator)! : newKey(index)
                if !replaces, !live[index].contains(key) { live[index].append(key) }
                // Twice at times: the second, shorter value keeps the first one's run of pages.
                for _ in 0..<Int.random(in: 1...2, using: &generator) {
                    let value = newValue(index)
                    try key.withUnsafeBytes { name in
                        try value.withUnsafeBytes { try transaction.put(database, name, $0) }
                    }
                }
            }
        }
        try transaction.commit()
    }
}

/// The bytes of a data file, for tests that damage it.
struct DataFile {
    var bytes: [UInt8]
    static let pageBytes = 4096

    init(_ path: String) throws(SystemError) { bytes = try FileSystem.read(path, limit: 1 << 30) }

    func number<Number: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> Number {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }

    mutating func set<Number: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ number: Number) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: number, toByteOffset: offset, as: Number.self) }
    }

    /// Where the newest MDB_meta begins.
    var meta: Int { (number(16 + 128) as UInt64) < (number(4096 + 16 + 128) as UInt64) ? 4096 + 16 : 16 }
    /// Where the records of the free list and of the main database begin.
    var freeRecord: Int { meta + 24 }
    var mainRecord: Int { meta + 72 }
    var lastPage: Int { Int(number(meta + 120) as UInt64) }
    var pages: Int { bytes.count / Self.pageBytes }

    /// Where the root page of the tree whose record is at `record` begins.
    func root(_ record: Int) -> Int { Int(number(record + 40) as UInt64) * Self.pageBytes }

    /// Where the nodes of the page at `page` begin, in the order of their keys.
    func nodes(_ page: Int) -> [Int] {
        let count = (Int(number(page + 12) as UInt16) - 16) / 2
        return (0..<max(count, 0)).map { page + Int(number(page + 16 + 2 * $0) as UInt16) }
    }

    func flags(_ page: Int) -> UInt16 { number(page + 10) }
    /// Where a leaf node's key and value begin.
    func key(_ node: Int) -> Int { node + 8 }
    func value(_ node: Int) -> Int { node + 8 + Int(number(node + 6) as UInt16) }

    /// Where the record of a named database begins, if the main database is one leaf.
    func record(named name: String) -> Int? {
        nodes(root(mainRecord)).first { Array(bytes[key($0)..<value($0)]) == Array(name.utf8) }.map { value($0) }
    }

    /// The pages of a tree: each branch before its children.
    func treePages(_ record: Int) -> [Int] {
        func below(_ page: Int) -> [Int] {
            if flags(page) == 2 { return [page] }
            return [page] + nodes(page).flatMap { below(Int(number($0) as UInt32) * Self.pageBytes) }
        }
        return below(root(record))
    }

    /// The leaves of a tree, leftmost first.
    func leaves(_ record: Int) -> [Int] { treePages(record).filter { flags($0) == 2 } }
}
