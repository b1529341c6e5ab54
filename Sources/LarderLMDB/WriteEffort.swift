import CLMDB

/// What was asked of a write transaction: enough to say how many pages its commit writes at most.
struct WriteEffort {
    /// Entries put and deleted.
    private(set) var operations = 0
    /// Pages of values that have pages of their own.
    private(set) var largePages = 0

    /// Counts an entry that is put or, with 0 bytes, deleted.
    mutating func count(valueBytes: Int) {
        operations += 1
        // A leaf holds two nodes at least, so a value of up to a third of a page never has pages of its own.
        if valueBytes > 1_365 { largePages += (valueBytes + LMDBFormat.pageHeaderBytes + 4_095) / 4_096 }
    }
}

extension WriteTransaction {
    /// The most pages that a commit now would write, from what was done: LMDB writes no page in place.
    ///
    /// - Parameters:
    ///   - databases: all databases that this transaction may have written.
    ///   - filePages: pages of the data file.
    public func dirtyPagesAtMost(_ databases: [Database], filePages: Int) throws(LMDBError) -> Int {
        var treePages = 0
        var depth = 1
        for database in databases {
            let found = try statistics(database)
            treePages += found.treePages
            depth = max(depth, found.depth)
        }
        // An operation copies a path, and splits or merges each page of it at most once.
        let touched = min(treePages, effort.pointee.operations * (2 * depth + 2))
        let main = try statistics(Database(index: 1)).treePages
        // The list of free pages: LMDB may write all of it anew, 509 numbers a page, and the tree that holds it.
        let free = 2 * (try freeTreePages())
        return effort.pointee.largePages + touched + main + free + Self.freeListPages(filePages: filePages)
    }

    /// Pages of the tree that holds the list of free pages.
    public func freeTreePages() throws(LMDBError) -> Int { try statistics(Database(index: 0)).treePages }

    /// Pages that the list of free pages of a file takes at most, if it is written once.
    public static func freeListPages(filePages: Int) -> Int { filePages / 500 + 8 }
}
