// The file's two meta pages, and the choice between them.
import LarderSystem

/// Numbers of LMDB's format, with their names in mdb.c.
enum LMDBFormat {
    /// MDB_MAGIC.
    static let magic: UInt32 = 0xBEEF_C0DE
    /// MDB_DATA_VERSION.
    static let version: UInt32 = 1
    /// NUM_METAS.
    static let metaPages = 2
    /// PAGEHDRSZ.
    static let pageHeaderBytes = 16
    /// NODESIZE.
    static let nodeHeaderBytes = 8
    /// sizeof(MDB_meta).
    static let metaBytes = 136
    /// sizeof(MDB_db).
    static let recordBytes = 48
    /// CURSOR_STACK: LMDB follows no more levels.
    static let maximumDepth = 32
    /// MDB_MAXKEYSIZE.
    static let maximumKeyBytes = 511
    /// The page sizes that hold two nodes with the longest keys, up to MAX_PAGESIZE.
    static let pageBytes = 4096...32768
    /// More than a process can map on x86-64 and AArch64, so LMDB cannot have had a larger map.
    static let maximumMapBytes: UInt64 = 1 << 48
    /// A bound that no environment reaches, far below where the next number would overflow.
    static let maximumTransaction: UInt64 = 1 << 48
    /// P_INVALID: the root of an empty tree.
    static let noPage = UInt64.max

    /// P_BRANCH.
    static let branchFlag: UInt16 = 0x01
    /// P_LEAF.
    static let leafFlag: UInt16 = 0x02
    /// P_OVERFLOW.
    static let overflowFlag: UInt16 = 0x04
    /// P_META.
    static let metaFlag: UInt16 = 0x08
    /// F_BIGDATA.
    static let largeValueFlag: UInt16 = 0x01
    /// F_SUBDATA.
    static let databaseFlag: UInt16 = 0x02
    /// MDB_INTEGERKEY.
    static let integerKeysFlag: UInt16 = 0x08
    /// MDB_NOSUBDIR, which LMDB's tools leave in the flags of a copy and nothing reads.
    static let noSubdirectoryFlag: UInt16 = 0x4000
}

/// MDB_db: what a tree's record says of it.
struct DatabaseRecord {
    let pad: UInt32
    let flags: UInt16
    let depth: UInt16
    let branchPages: UInt64
    let leafPages: UInt64
    let overflowPages: UInt64
    let entries: UInt64
    let root: UInt64

    /// Reads the 48 bytes at `offset`.
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        pad = bytes.number(at: offset)
        flags = bytes.number(at: offset + 4)
        depth = bytes.number(at: offset + 6)
        branchPages = bytes.number(at: offset + 8)
        leafPages = bytes.number(at: offset + 16)
        overflowPages = bytes.number(at: offset + 24)
        entries = bytes.number(at: offset + 32)
        root = bytes.number(at: offset + 40)
    }
}

/// A meta page whose fields are within their bounds.
struct MetaPage {
    /// 0 or 1.
    let number: Int
    let pageBytes: Int
    let lastPage: Int
    let transaction: UInt64
    let free: DatabaseRecord
    let main: DatabaseRecord
}

extension UnsafeRawBufferPointer {
    /// The native number at `offset`, of any alignment; the caller has checked that it is inside.
    @inline(__always)
    func number<Number: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> Number {
        loadUnaligned(fromByteOffset: offset, as: Number.self)
    }
}

extension FileChecker {
    /// The meta page that mdb_env_pick_meta takes: the one of the later transaction.
    ///
    /// The other must be a meta page too, or mdb_env_read_header fails. The trees that it names are not looked at:
    /// their pages may be in use anew, and the next commit replaces it.
    static func newestMeta(of file: borrowing SizedFile, path: String) throws(FileCheck.Failure) -> MetaPage {
        let size = LMDBFormat.pageHeaderBytes + LMDBFormat.metaBytes
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * size, alignment: 16)
        defer { buffer.deallocate() }
        let first = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
        let second = UnsafeMutableRawBufferPointer(rebasing: buffer[size...])

        try readMeta(of: file, path: path, at: 0, into: first, neededBytes: LMDBFormat.metaPages * 4096)
        guard isMeta(UnsafeRawBufferPointer(first), number: 0) else { throw .notLMDB(path: path) }
        try checkVersion(UnsafeRawBufferPointer(first), path: path)
        let pageBytes = Int(UnsafeRawBufferPointer(first).number(at: 40) as UInt32)
        guard LMDBFormat.pageBytes.contains(pageBytes), pageBytes.nonzeroBitCount == 1 else {
            throw .damaged(path: path, page: 0, what: "its page size is \(pageBytes)")
        }

        try readMeta(of: file, path: path, at: pageBytes, into: second, neededBytes: LMDBFormat.metaPages * pageBytes)
        guard isMeta(UnsafeRawBufferPointer(second), number: 1) else {
            throw .damaged(path: path, page: 1, what: "it is not a meta page")
        }
        try checkVersion(UnsafeRawBufferPointer(second), path: path)
        guard UnsafeRawBufferPointer(second).number(at: 40) == UInt32(pageBytes) else {
            throw .damaged(path: path, page: 1, what: "its page size is not that of page 0")
        }

        let firstTransaction: UInt64 = UnsafeRawBufferPointer(first).number(at: size - 8)
        let secondTransaction: UInt64 = UnsafeRawBufferPointer(second).number(at: size - 8)
        let newest = firstTransaction < secondTransaction ? 1 : 0
        return try meta(UnsafeRawBufferPointer(newest == 0 ? first : second), number: newest, path: path)
    }

    private static func readMeta(
        of file: borrowing SizedFile, path: String, at offset: Int, into buffer: UnsafeMutableRawBufferPointer,
        neededBytes: Int
    ) throws(FileCheck.Failure) {
        let count: Int
        do {
            count = try file.descriptor.read(into: buffer, at: offset)
        } catch {
            throw .system(SystemError(error.operation, path, code: error.code))
        }
        guard count == buffer.count else {
            throw .truncated(path: path, fileBytes: file.bytes, neededBytes: neededBytes)
        }
    }

    private static func isMeta(_ bytes: UnsafeRawBufferPointer, number: UInt64) -> Bool {
        bytes.number(at: 0) == number && bytes.number(at: 10) == LMDBFormat.metaFlag
            && bytes.number(at: 16) == LMDBFormat.magic
    }

    private static func checkVersion(_ bytes: UnsafeRawBufferPointer, path: String) throws(FileCheck.Failure) {
        let version: UInt32 = bytes.number(at: 20)
        guard version == LMDBFormat.version else { throw .version(path: path, version: version) }
    }

    /// Checks the fields of the meta page that counts.
    private static func meta(
        _ bytes: UnsafeRawBufferPointer, number: Int, path: String
    ) throws(FileCheck.Failure) -> MetaPage {
        func damaged(_ what: String) -> FileCheck.Failure { .damaged(path: path, page: number, what: what) }
        let mapBytes: UInt64 = bytes.number(at: 32)
        let free = DatabaseRecord(bytes, at: 40)
        let main = DatabaseRecord(bytes, at: 40 + LMDBFormat.recordBytes)
        let lastPage: UInt64 = bytes.number(at: 40 + 2 * LMDBFormat.recordBytes)
        let transaction: UInt64 = bytes.number(at: 48 + 2 * LMDBFormat.recordBytes)
        let pageBytes = UInt64(free.pad)

        guard mapBytes <= LMDBFormat.maximumMapBytes else { throw damaged("its map size is \(mapBytes)") }
        // The map was never smaller than the pages that were allocated in it.
        guard lastPage >= 1, lastPage < mapBytes / pageBytes else {
            throw damaged("its last page is \(lastPage) in a map of \(mapBytes) bytes")
        }
        // LMDB finds a transaction's meta page by the lowest bit of its number; a new file has zero in both.
        guard transaction <= LMDBFormat.maximumTransaction, transaction == 0 || transaction & 1 == UInt64(number) else {
            throw damaged("its transaction number is \(transaction)")
        }
        guard free.flags & ~LMDBFormat.noSubdirectoryFlag == LMDBFormat.integerKeysFlag else {
            throw damaged("its flags are \(free.flags)")
        }
        guard main.flags == 0, main.pad == 0 else {
            throw damaged("the main database has flags \(main.flags) and pad \(main.pad)")
        }
        return MetaPage(
            number: number, pageBytes: Int(pageBytes), lastPage: Int(lastPage), transaction: transaction,
            free: free, main: main)
    }
}
