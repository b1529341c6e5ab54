import Glibc
import LarderLMDB
import LarderSystem
import Testing

/// A field of a sound file that is set to something LMDB would stumble over.
struct Damage: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let apply: @Sendable (inout DataFile) -> Void

    init(_ description: String, _ apply: @escaping @Sendable (inout DataFile) -> Void) {
        testDescription = description
        self.apply = apply
    }

    static let all: [Damage] = meta + trees + pages + nodes + freeList

    static let meta: [Damage] = [
        Damage("page size") { $0.set(16 + 24, UInt32(8192)) },
        Damage("page size of the other meta page") { $0.set(4096 + 16 + 24, UInt32(8192)) },
        Damage("magic of the second meta page") { $0.set(4096 + 16, UInt32(0)) },
        Damage("page flags of the second meta page") { $0.set(4096 + 10, UInt16(0)) },
        Damage("map size too small") { $0.set($0.meta + 16, UInt64(8192)) },
        Damage("map size too large") { $0.set($0.meta + 16, UInt64.max) },
        Damage("last page beyond the map") { $0.set($0.meta + 120, UInt64(1) << 50) },
        Damage("last page too low") { $0.set($0.meta + 120, UInt64($0.lastPage / 2)) },
        Damage("transaction of the wrong parity") { $0.set($0.meta + 128, ($0.number($0.meta + 128) as UInt64) + 1) },
        Damage("transaction near overflow") {
            $0.set($0.meta + 128, UInt64.max &- (1 - ($0.number($0.meta + 128) & 1)))
        },
        Damage("flags") { $0.set($0.freeRecord + 4, UInt16(0x0C)) },
        Damage("pad of the main database") { $0.set($0.mainRecord, UInt32(8)) },
        Damage("flags of the main database") { $0.set($0.mainRecord + 4, UInt16(0x04)) },
    ]

    static let trees: [Damage] = [
        Damage("root is a meta page") { $0.set($0.mainRecord + 40, UInt64(1)) },
        Damage("root beyond the last page") { $0.set($0.mainRecord + 40, UInt64.max - 1) },
        Damage("root is another page") { $0.set($0.mainRecord + 40, ($0.number($0.freeRecord + 40) as UInt64)) },
        Damage("no root, but entries") { $0.set($0.mainRecord + 40, UInt64.max) },
        Damage("depth zero") { $0.set($0.record(named: "index")! + 6, UInt16(0)) },
        Damage("depth too great") { $0.set($0.record(named: "index")! + 6, UInt16(33)) },
        Damage("depth off by one") { $0.set($0.mainRecord + 6, UInt16(2)) },
        Damage("branch pages") { $0.set($0.record(named: "index")! + 8, UInt64(9)) },
        Damage("leaf pages") { $0.set($0.freeRecord + 16, UInt64(9)) },
        Damage("overflow pages") { $0.set($0.record(named: "chunks")! + 24, UInt64(1)) },
        Damage("entries") { $0.set($0.record(named: "names")! + 32, UInt64.max) },
        Damage("sorted duplicates") { $0.set($0.record(named: "index")! + 4, UInt16(0x04)) },
        Damage("integer keys of 16 bytes") { $0.set($0.record(named: "index")! + 4, UInt16(0x08)) },
        Damage("pad of a record") { $0.set($0.record(named: "index")!, UInt32(4)) },
        Damage("two databases with one tree") {
            let record = $0.record(named: "index")!
            let other = $0.record(named: "names")!
            for word in 0..<6 { $0.set(other + 8 * word, ($0.number(record + 8 * word) as UInt64)) }
        },
    ]

    static let pages: [Damage] = [
        Damage("page number") { $0.set($0.leaves($0.record(named: "index")!)[1], UInt64(7)) },
        Damage("leaf marked dirty") { $0.set($0.leaves($0.record(named: "index")!)[1] + 10, UInt16(0x12)) },
        Damage("leaf of fixed duplicates") { $0.set($0.leaves($0.record(named: "index")!)[1] + 10, UInt16(0x22)) },
        Damage("leaf marked as branch") { $0.set($0.leaves($0.record(named: "index")!)[1] + 10, UInt16(0x01)) },
        Damage("leaf with no nodes") { $0.set($0.leaves($0.record(named: "index")!)[1] + 12, UInt16(16)) },
        Damage("odd lower bound") { $0.set($0.leaves($0.record(named: "index")!)[1] + 12, UInt16(17)) },
        Damage("upper below lower") { $0.set($0.leaves($0.record(named: "index")!)[1] + 14, UInt16(16)) },
        Damage("upper too low") {
            let page = $0.leaves($0.record(named: "names")!)[0]
            $0.set(page + 14, ($0.number(page + 14) as UInt16) - 2)
        },
        Damage("one node in a branch") { $0.set($0.root($0.record(named: "index")!) + 12, UInt16(18)) },
        Damage("first page of a large value") {
            let value = $0.number($0.value($0.firstLargeValue())) as UInt64
            $0.set(Int(value) * 4096 + 12, UInt32(1 << 30))
        },
        Damage("large value longer than its run") { $0.set($0.firstLargeValue(), UInt32.max) },
        Damage("large value in a tree page") {
            $0.set($0.value($0.firstLargeValue()), UInt64($0.root($0.mainRecord) / 4096))
        },
    ]

    static let nodes: [Damage] = [
        Damage("two pointers to one node") {
            let page = $0.leaves($0.record(named: "index")!)[1]
            $0.set(page + 18, ($0.number(page + 16) as UInt16))
        },
        Damage("pointer into the header") { $0.set($0.leaves($0.record(named: "index")!)[1] + 16, UInt16(8)) },
        Damage("pointer to the page's end") { $0.set($0.leaves($0.record(named: "index")!)[1] + 16, UInt16(4094)) },
        Damage("empty key") { $0.set($0.nodes($0.leaves($0.record(named: "index")!)[1])[1] + 6, UInt16(0)) },
        Damage("long key") { $0.set($0.nodes($0.leaves($0.record(named: "names")!)[0])[0] + 6, UInt16(512)) },
        Damage("long value") { $0.set($0.nodes($0.leaves($0.record(named: "index")!)[1])[1], UInt32(5000)) },
        Damage("duplicates") { $0.set($0.nodes($0.leaves($0.record(named: "index")!)[1])[1] + 4, UInt16(4)) },
        Damage("a database in a named one") {
            $0.set($0.nodes($0.leaves($0.record(named: "index")!)[1])[1] + 4, UInt16(2))
        },
        Damage("a value in the main database") { $0.set($0.nodes($0.root($0.mainRecord))[0] + 4, UInt16(0)) },
        Damage("keys out of order") {
            let page = $0.leaves($0.record(named: "index")!)[1]
            let pointers = ($0.number(page + 16) as UInt16, $0.number(page + 18) as UInt16)
            $0.set(page + 16, pointers.1)
            $0.set(page + 18, pointers.0)
        },
        Damage("a key below its separator") {
            $0.set($0.key($0.nodes($0.leaves($0.record(named: "index")!)[1])[0]), UInt64(0))
        },
        Damage("a key of the next page") {
            $0.set($0.key($0.nodes($0.leaves($0.record(named: "index")!)[1]).last!), UInt64.max)
        },
        Damage("integer keys out of order") {
            $0.set($0.key($0.nodes($0.leaves($0.record(named: "chunks")!)[0])[0]), UInt64.max)
        },
        Damage("a child twice") {
            let nodes = $0.nodes($0.root($0.record(named: "index")!))
            $0.set(nodes[1], ($0.number(nodes[0]) as UInt32))
        },
        Damage("a child that is its parent") {
            let root = $0.root($0.record(named: "index")!)
            $0.set($0.nodes(root)[1], UInt32(root / 4096))
        },
        Damage("a child far away") { $0.set($0.nodes($0.root($0.record(named: "index")!))[1] + 4, UInt16(1)) },
    ]

    static let freeList: [Damage] = [
        Damage("freed by transaction 0") { $0.set($0.key($0.freeNode()), UInt64(0)) },
        Damage("freed in the future") {
            $0.set($0.key($0.nodes($0.leaves($0.freeRecord).last!).last!), UInt64(1) << 40)
        },
        Damage("more free pages than the record holds") { $0.set($0.value($0.freeNode()), UInt64.max / 8) },
        Damage("a free page that is in use") {
            $0.set($0.value($0.freeNode()) + 8, UInt64($0.root($0.mainRecord) / 4096))
        },
        Damage("a free meta page") { file in
            let value = file.value(file.freeNode())
            let count = Int(file.number(value) as UInt64)
            file.set(value + 8 * count, UInt64(1))
        },
        Damage("a free page beyond the last") { $0.set($0.value($0.freeNode()) + 8, UInt64($0.lastPage + 1)) },
        Damage("a page that is free twice") {
            let value = $0.value($0.freeNode())
            $0.set(value + 16, ($0.number(value + 8) as UInt64))
        },
        Damage("free pages in ascending order") {
            let value = $0.value($0.freeNode())
            let pages = ($0.number(value + 8) as UInt64, $0.number(value + 16) as UInt64)
            $0.set(value + 8, pages.1)
            $0.set(value + 16, pages.0)
        },
        Damage("a page in use in a long list") {
            $0.set($0.longFreeLists()[0].lowerBound + 8, UInt64($0.root($0.mainRecord) / 4096))
        },
        Damage("a long list's count") { $0.set($0.longFreeLists()[0].lowerBound, UInt64(1) << 60) },
    ]
}

extension DataFile {
    /// The first node with an overflow run in "chunks".
    func firstLargeValue() -> Int {
        leaves(record(named: "chunks")!).flatMap { nodes($0) }.first { number($0 + 4) == UInt16(1) }!
    }

    /// A node of the free list with at least two pages in the leaf itself.
    func freeNode() -> Int {
        leaves(freeRecord).flatMap { nodes($0) }.first { number($0 + 4) == UInt16(0) && number(value($0)) > UInt64(1) }!
    }
}

extension DataFile {
    /// The counts and page numbers of the free list's records that have their own runs of pages.
    func longFreeLists() -> [Range<Int>] {
        leaves(freeRecord).flatMap { nodes($0) }.filter { number($0 + 4) == UInt16(1) }.map {
            let start = Int(number(value($0)) as UInt64) * Self.pageBytes + 16
            return start..<start + 8 * (1 + Int(number(start) as UInt64))
        }
    }
}

/// One sound file, which each test damages in a copy.
enum SoundFile {
    static let made: Result<DataFile, any Error> = Result {
        let directory = try TemporaryDirectory()
        var churn = Churn(seed: 7)
        do {
            let environment = try directory.environment()
            for deletes in [0, 0, 0, 0, 0.3, 0.6, 0.4] {
                try churn.commit(environment, operations: 40, deletes: deletes)
            }
            // A large value's pages, freed by the last transaction, make a record that has its own run of pages.
            let key: [UInt8] = Array(repeating: 4, count: 16)
            for value in [[UInt8](repeating: 1, count: 3 << 20), [2]] {
                let transaction = try WriteTransaction(environment)
                let index = try transaction.open("index", keys: .bytes)
                try key.withUnsafeBytes { name in try value.withUnsafeBytes { try transaction.put(index, name, $0) } }
                try transaction.commit()
            }
        }
        return try DataFile(directory.dataFile)
    }
}

@Suite struct FileCheckDamageTests {
    @Test(arguments: Damage.all) func damageIsRefused(damage: Damage) throws {
        var file = try SoundFile.made.get()
        let directory = try TemporaryDirectory()
        try FileSystem.write(file.bytes, to: directory.dataFile)
        try FileCheck.check(path: directory.dataFile)
        damage.apply(&file)
        try FileSystem.write(file.bytes, to: directory.dataFile)
        let failure = #expect(throws: FileCheck.Failure.self) { try FileCheck.check(path: directory.dataFile) }
        if let failure { #expect("\(failure)".hasPrefix(directory.dataFile)) }
    }

    /// Pages that nothing names are lost to LMDB and do it no harm: the report counts them.
    @Test func leakedPagesAreCounted() throws {
        var file = try SoundFile.made.get()
        let directory = try TemporaryDirectory()
        file.set(file.meta + 120, UInt64(file.lastPage + 5))
        try FileSystem.write(file.bytes, to: directory.dataFile)
        #expect(try FileCheck.check(path: directory.dataFile).leakedPages == 5)
    }

    /// A flipped bit is refused, or LMDB can read every entry and go on writing. A crash here fails the run.
    @Test(arguments: [UInt64(11), 12, 13]) func flippedBitsAreRefusedOrHarmless(seed: UInt64) throws {
        print("FileCheckDamageTests: flips with seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let sound = try SoundFile.made.get()
        let plan = FlipPlan(sound)
        let directory = try TemporaryDirectory()
        try FileSystem.write(sound.bytes, to: directory.dataFile)
        var refused = 0
        var accepted = 0
        for _ in 0..<2000 {
            let offset = plan.offset(&generator)
            let flipped = sound.bytes[offset] ^ 1 << UInt8.random(in: 0..<8, using: &generator)
            try directory.patch(offset, flipped)
            if let report = try? FileCheck.check(path: directory.dataFile) {
                accepted += 1
                #expect(throws: Never.self) { try scan(directory, report) }
                if accepted % 20 == 0 { #expect(throws: Never.self) { try write(copyOf: directory, seed: seed) } }
            } else {
                refused += 1
            }
            try directory.patch(offset, sound.bytes[offset])
        }
        print("FileCheckDamageTests: seed \(seed): \(refused) flips refused, \(accepted) harmless")
        // Both must happen: structure is dense in the plan, and so are values and unused bytes.
        #expect(refused > 500 && accepted > 100)
    }

    /// Commits to a copy of the file that passed, and checks it again.
    private func write(copyOf original: TemporaryDirectory, seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        try FileSystem.write(try DataFile(original.dataFile).bytes, to: directory.dataFile)
        let environment = try directory.environment()
        var churn = Churn(seed: seed)
        for deletes in [0.2, 0.2, 0.5] { try churn.commit(environment, operations: 10, deletes: deletes) }
        try FileCheck.check(path: directory.dataFile)
    }

    /// Reads every byte of every entry; there must be as many as the check counted.
    private func scan(_ directory: TemporaryDirectory, _ report: FileCheck.Report) throws {
        let environment = try directory.environment()
        let transaction = try WriteTransaction(environment)
        // A flip in a name hides its database, as any lost name would.
        for found in report.databases where Churn.names.contains(where: { $0.name == found.name }) {
            var entries = 0
            var sum: UInt8 = 0
            let database = try transaction.open(found.name, keys: found.keys)
            try transaction.scan(database, from: UnsafeRawBufferPointer(start: nil, count: 0)) { key, value in
                entries += 1
                for byte in key { sum &+= byte }
                for byte in value { sum &+= byte }
                return true
            }
            #expect(entries == found.entries)
        }
    }
}

extension TemporaryDirectory {
    /// Sets one byte of the data file.
    func patch(_ offset: Int, _ byte: UInt8) throws {
        let file = try Descriptor.open(dataFile, flags: O_WRONLY)
        let written = withUnsafeBytes(of: byte) { pwrite(file.number, $0.baseAddress!, 1, off_t(offset)) }
        try #require(written == 1)
    }
}

/// Where to flip: mostly where the structure is, among the pages in use.
struct FlipPlan {
    private let file: DataFile
    private let treePages: [Int]
    private let freePages: [Int]
    private let freeLists: [Range<Int>]

    init(_ file: DataFile) {
        self.file = file
        freePages = file.treePages(file.freeRecord)
        freeLists = file.longFreeLists()
        treePages =
            file.treePages(file.mainRecord) + Churn.names.flatMap { file.treePages(file.record(named: $0.name)!) }
    }

    func offset(_ generator: inout SeededGenerator) -> Int {
        let page: Int
        switch Int.random(in: 0..<100, using: &generator) {
        case ..<20:
            let meta = Int.random(in: 0...1, using: &generator)
            return meta * DataFile.pageBytes + Int.random(in: 0..<152, using: &generator)
        case ..<30: return Int.random(in: freeLists.randomElement(using: &generator)!, using: &generator)
        case ..<40: page = freePages.randomElement(using: &generator)!
        case ..<95: page = treePages.randomElement(using: &generator)!
        default: return Int.random(in: 0..<file.bytes.count, using: &generator)
        }
        switch Int.random(in: 0..<100, using: &generator) {
        case ..<30: return page + Int.random(in: 0..<24, using: &generator)
        case ..<80: return file.nodes(page).randomElement(using: &generator)! + Int.random(in: 0..<8, using: &generator)
        default: return page + Int.random(in: 0..<DataFile.pageBytes, using: &generator)
        }
    }
}
