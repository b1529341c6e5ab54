// A tree as a whole: its pages from the root down, the order of its keys, and the counts in its record.
import Glibc

/// A tree that is being walked: what its record says, and what was found.
struct Tree {
    /// What its entries are.
    enum Role {
        /// FREE_DBI: free pages by the transaction that freed them.
        case free
        /// MAIN_DBI: the records of named databases.
        case main
        /// Anything.
        case named
    }

    /// What messages call it.
    let name: String
    let role: Role
    let record: DatabaseRecord
    /// The page that holds the record.
    let source: Int
    /// A named database's name.
    var databaseName = ""
    var branchPages = 0
    var leafPages = 0
    var overflowPages = 0
    var entries = 0
    /// The length of all keys of a tree with integer keys, once known.
    var integerKeyBytes: Int?
    /// The main tree's named databases, to be walked.
    var named: [Tree] = []
    /// The pages that the free list's records list.
    var freePages = 0

    init(name: String, role: Role, record: DatabaseRecord, source: Int) {
        self.name = name
        self.role = role
        self.record = record
        self.source = source
        if role == .free { integerKeyBytes = 8 }
    }

    var pages: Int { branchPages + leafPages + overflowPages }
    var hasIntegerKeys: Bool { record.flags & LMDBFormat.integerKeysFlag != 0 }

    /// Whether a key of this length can be in the tree. LMDB compares integer keys without looking at their lengths.
    @inline(__always)
    mutating func accepts(keyBytes: Int) -> Bool {
        guard hasIntegerKeys else { return true }
        if let integerKeyBytes { return keyBytes == integerKeyBytes }
        integerKeyBytes = keyBytes
        return keyBytes == 4 || keyBytes == 8
    }

    /// The order of two keys: negative, zero or positive. mdb_cmp_memn, or mdb_cmp_long and mdb_cmp_int.
    @inline(__always)
    func compare(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        if hasIntegerKeys {
            let first = integerKeyBytes == 8 ? left.number(at: 0) as UInt64 : UInt64(left.number(at: 0) as UInt32)
            let second = integerKeyBytes == 8 ? right.number(at: 0) as UInt64 : UInt64(right.number(at: 0) as UInt32)
            return first < second ? -1 : first == second ? 0 : 1
        }
        let order = memcmp(left.baseAddress!, right.baseAddress!, min(left.count, right.count))
        return order != 0 ? Int(order) : left.count - right.count
    }
}

/// A way down: a page, the page that points to it, and the bounds of its keys, which lie in its ancestors' buffers.
struct Link {
    let number: UInt64
    let source: Int
    /// 0 for the root.
    let level: Int
    /// The least key that may be there.
    let lower: UnsafeRawBufferPointer?
    /// The least key that may not.
    let upper: UnsafeRawBufferPointer?
}

extension FileChecker {
    /// Walks `tree` and compares what it finds with its record.
    mutating func check(_ tree: inout Tree) throws(FileCheck.Failure) {
        let record = tree.record
        if record.root == LMDBFormat.noPage {
            guard record.depth == 0 else { throw damaged(tree.source, "\(tree.name) has no root, but a depth") }
        } else {
            guard (1...LMDBFormat.maximumDepth).contains(Int(record.depth)) else {
                throw damaged(tree.source, "\(tree.name) has depth \(record.depth)")
            }
            try walk(&tree, Link(number: record.root, source: tree.source, level: 0, lower: nil, upper: nil))
        }
        for (what, found, declared) in [
            ("branch pages", tree.branchPages, record.branchPages), ("leaf pages", tree.leafPages, record.leafPages),
            ("overflow pages", tree.overflowPages, record.overflowPages), ("entries", tree.entries, record.entries),
        ] where UInt64(found) != declared {
            throw damaged(tree.source, "\(tree.name) has \(found) \(what), and its record says \(declared)")
        }
    }

    /// Checks a page and what is below it. The depth of the tree's record bounds the recursion.
    private mutating func walk(_ tree: inout Tree, _ link: Link) throws(FileCheck.Failure) {
        let number = try claim(link.number, count: 1, source: link.source)
        let page = try readPage(number, level: link.level, isBranch: link.level + 1 < Int(tree.record.depth))
        try checkKeys(page, &tree, link)
        if page.isBranch {
            tree.branchPages += 1
            for index in 0..<page.count { willRead(page.child(index)) }
            for index in 0..<page.count {
                let isLast = index + 1 == page.count
                try walk(
                    &tree,
                    Link(
                        number: page.child(index), source: number, level: link.level + 1,
                        lower: index == 0 ? link.lower : page.key(index),
                        upper: isLast ? link.upper : page.key(index + 1)))
            }
        } else {
            tree.leafPages += 1
            tree.entries += page.count
            for index in 0..<page.count where page.flags(index) == LMDBFormat.largeValueFlag {
                willRead(page.bytes.number(at: page.valueOffset(index)))
            }
            for index in 0..<page.count { try checkEntry(page, index, &tree) }
        }
    }

    /// Reads page `number`, which is in the file, into its level's buffer and checks its layout.
    private func readPage(_ number: Int, level: Int, isBranch: Bool) throws(FileCheck.Failure) -> TreePage {
        let start = level * meta.pageBytes
        let buffer = UnsafeMutableRawBufferPointer(rebasing: levels[start..<start + meta.pageBytes])
        try read(into: buffer, at: number * meta.pageBytes)
        let bytes = UnsafeRawBufferPointer(buffer)
        if let fault = TreePage.layoutFault(bytes, number: number, isBranch: isBranch, sizes: nodeSizes) {
            throw damaged(number, fault)
        }
        let lower = Int(bytes.number(at: 12) as UInt16)
        return TreePage(
            bytes: bytes, number: number, isBranch: isBranch, count: (lower - LMDBFormat.pageHeaderBytes) / 2)
    }

    /// Has the kernel begin to read page `number`, which is not checked yet, posix_fadvise(2).
    ///
    /// A tree's pages lie anywhere in the file. Read one after the other, each costs a cold disk's full latency.
    private func willRead(_ number: UInt64) {
        guard number <= UInt64(meta.lastPage) else { return }
        let offset = off_t(Int(number) * meta.pageBytes)
        _ = posix_fadvise(file.descriptor.number, offset, off_t(meta.pageBytes), Int32(POSIX_FADV_WILLNEED))
    }

    /// Checks that the keys of a page ascend and stay within the separators around it.
    private func checkKeys(_ page: TreePage, _ tree: inout Tree, _ link: Link) throws(FileCheck.Failure) {
        var previous = link.lower
        // The first key of a branch is never compared: all that is left of the second separator is below it.
        for index in (page.isBranch ? 1 : 0)..<page.count {
            let key = page.key(index)
            guard tree.accepts(keyBytes: key.count) else {
                throw damaged(page.number, "integer key \(index) of \(tree.name) has \(key.count) bytes")
            }
            if let previous {
                // Only a leaf's first key may equal the separator that leads to it.
                guard tree.compare(previous, key) < (index == 0 ? 1 : 0) else {
                    throw damaged(page.number, "key \(index) is out of order")
                }
            }
            previous = key
        }
        if let previous, let upper = link.upper, tree.compare(previous, upper) >= 0 {
            throw damaged(page.number, "its last key belongs to a later page")
        }
    }

    /// Checks what an entry of a leaf points to.
    @inline(__always)
    private mutating func checkEntry(_ page: TreePage, _ index: Int, _ tree: inout Tree) throws(FileCheck.Failure) {
        let flags = page.flags(index)
        if flags == 0, tree.role == .named { return }
        if tree.role == .main {
            tree.named.append(try namedDatabase(page, index))
            return
        }
        guard flags != LMDBFormat.databaseFlag else {
            throw damaged(page.number, "node \(index) of \(tree.name) is the record of a database")
        }
        var overflowPage: Int?
        if flags == LMDBFormat.largeValueFlag { overflowPage = try claimLargeValue(page, index, &tree) }
        if tree.role == .free {
            tree.freePages += try claimFreeList(page, index, overflowPage: overflowPage)
        }
    }

    /// Claims the run of pages that holds a value too long for its leaf, after a look at the run's header.
    private mutating func claimLargeValue(
        _ page: TreePage, _ index: Int, _ tree: inout Tree
    ) throws(FileCheck.Failure) -> Int {
        let first: UInt64 = page.bytes.number(at: page.valueOffset(index))
        let needed = (page.valueBytes(index) + LMDBFormat.pageHeaderBytes - 1) / meta.pageBytes + 1
        // The first page by itself: only when it is known to be in the file can it be read.
        let number = try claim(first, count: 1, source: page.number)
        let pages = try runPages(number)
        // A value that was replaced by a shorter one in the same transaction keeps its run, so it may be longer.
        guard pages >= needed else {
            throw damaged(number, "its run has \(pages) pages, and its value needs \(needed)")
        }
        if pages > 1 { _ = try claim(first + 1, count: UInt64(pages - 1), source: number) }
        tree.overflowPages += pages
        return number
    }

    /// How many pages the run has that begins with overflow page `number`, which is in the file.
    private func runPages(_ number: Int) throws(FileCheck.Failure) -> Int {
        let buffer = UnsafeMutableRawBufferPointer(rebasing: scratch[..<LMDBFormat.pageHeaderBytes])
        try read(into: buffer, at: number * meta.pageBytes)
        let header = UnsafeRawBufferPointer(buffer)
        guard header.number(at: 0) == UInt64(number), header.number(at: 10) == LMDBFormat.overflowFlag else {
            throw damaged(number, "it is not the first page of a large value")
        }
        return Int(header.number(at: 12) as UInt32)
    }

    /// The record of a named database in the main tree, checked as far as the record alone tells.
    private func namedDatabase(_ page: TreePage, _ index: Int) throws(FileCheck.Failure) -> Tree {
        guard page.flags(index) == LMDBFormat.databaseFlag, page.valueBytes(index) == LMDBFormat.recordBytes else {
            throw damaged(page.number, "node \(index) of the main database is no record of a database")
        }
        let record = DatabaseRecord(page.bytes, at: page.valueOffset(index))
        let databaseName = String(decoding: page.key(index), as: UTF8.self)
        guard record.pad == 0, record.flags & ~LMDBFormat.integerKeysFlag == 0 else {
            throw damaged(page.number, "database '\(databaseName)' has flags \(record.flags) and pad \(record.pad)")
        }
        var tree = Tree(name: "database '\(databaseName)'", role: .named, record: record, source: page.number)
        tree.databaseName = databaseName
        return tree
    }
}
