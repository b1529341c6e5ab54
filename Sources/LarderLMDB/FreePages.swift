// Which free pages may be given back to the file system: those that LMDB itself would be free to overwrite next. It keeps,
// for each transaction, the pages that it freed (database 0: transaction id to an MDB_IDL), and takes pages from entries
// below the oldest snapshot that anybody reads and below the last commit (mdb_find_oldest, mdb_page_alloc). Neither that
// commit nor the one before it, which a power loss may bring back, uses such a page. So to lose its contents costs no more
// than to have LMDB write it.
import CLMDB
import Glibc

extension Environment {
    /// The oldest transaction whose snapshot a reader of any process holds; nil if nobody reads. 0 if a line of the table
    /// cannot be understood. mdb_reader_list.
    public func oldestReader() -> UInt64? {
        var oldest = UInt64.max
        _ = withUnsafeMutablePointer(to: &oldest) { oldest in
            mdb_reader_list(
                handle,
                { line, context in
                    guard let line, let context else { return 0 }
                    let oldest = context.assumingMemoryBound(to: UInt64.self)
                    // "pid thread transaction", the last "-" for a reader without a snapshot; a head line, or a remark.
                    let fields = String(cString: line).split { $0 == " " || $0 == "\n" }
                    guard let first = fields.first, Int(first) != nil, fields.last != "-" else { return 0 }
                    oldest.pointee = min(oldest.pointee, fields.count == 3 ? UInt64(fields[2]) ?? 0 : 0)
                    return 0
                }, oldest)
        }
        return oldest == .max ? nil : oldest
    }

    /// How far a look at free pages came; a new one begins at the oldest.
    public struct FreePagesScan: Sendable {
        /// The last transaction of whose pages all were taken.
        public var through: UInt64 = 0
        /// Runs that were taken of those of the next.
        public var runs = 0
        /// True if no more may be overwritten now.
        public var isAtEnd = false

        /// A scan that begins.
        public init() {}
    }

    /// Shows runs of pages that may be overwritten, those that were freed first before others, from where `scan` came to.
    /// Stops at the run that `body` does not take, by answering false.
    ///
    /// For the thread that writes, between its transactions: none may commit meanwhile. Throws what `body` throws, and
    /// ``LMDBError`` (MDB_CORRUPTED) for a list that names pages outside of the file.
    public func freePages(
        _ scan: inout FreePagesScan, _ body: (_ first: Int, _ count: Int) throws -> Bool
    ) throws {
        let transaction = try ReadTransaction.renewed(self)
        let current = UInt64(mdb_txn_id(transaction.handle))
        // This scan is a reader too, of the last commit. Others that come now see no less.
        let bound = min(current, oldestReader() ?? current)
        let pages = try information().lastPage + 1
        scan.isAtEnd = true
        try withUnsafeBytes(of: scan.through + 1) { start in
            try transaction.scan(Database(index: 0), from: start) { key, value in
                let freedBy: UInt64 = key.number(at: 0)
                guard freedBy < bound else { return false }
                var skipped = scan.runs
                scan.isAtEnd = try Self.runs(of: value, pages: pages) { first, count in
                    if skipped > 0 {
                        skipped -= 1
                        return true
                    }
                    guard try body(first, count) else { return false }
                    scan.runs += 1
                    return true
                }
                guard scan.isAtEnd else { return false }
                scan.through = freedBy
                scan.runs = 0
                return true
            }
        }
    }

    /// Shows the runs of one MDB_IDL: a count, then page numbers in descending order. False if `body` answered so.
    private static func runs(
        of value: UnsafeRawBufferPointer, pages: Int, _ body: (_ first: Int, _ count: Int) throws -> Bool
    ) throws -> Bool {
        let corrupt = LMDBError(code: MDB_CORRUPTED, operation: "list of free pages")
        guard value.count >= 8 else { throw corrupt }
        let count: UInt64 = value.number(at: 0)
        guard count <= UInt64(value.count / 8 - 1) else { throw corrupt }
        var run = (first: 0, count: 0)
        for index in 0..<Int(count) {
            let number: UInt64 = value.number(at: 8 + 8 * index)
            guard number >= UInt64(LMDBFormat.metaPages), number < UInt64(pages) else { throw corrupt }
            let page = Int(number)
            if run.count > 0 {
                guard page < run.first else { throw corrupt }
                if page == run.first - 1 {
                    run = (page, run.count + 1)
                    continue
                }
                guard try body(run.first, run.count) else { return false }
            }
            run = (page, 1)
        }
        return run.count == 0 ? true : try body(run.first, run.count)
    }
}
