import CLMDB

/// A call into LMDB that failed: its code (an MDB_ constant or an errno) and the function.
public struct LMDBError: Error, Sendable, Hashable, CustomStringConvertible {
    /// `MDB_*` if negative, else an errno.
    public let code: Int32
    /// The C function.
    public let operation: String

    /// The map is full: no free page is left, or no run of pages that is long enough.
    public var isMapFull: Bool { code == MDB_MAP_FULL }

    /// A meta page could not be written: LMDB uses the environment no more, until it is opened anew.
    public var isFatal: Bool { code == MDB_PANIC }

    /// The data file does not hold what LMDB wrote.
    public var isDamage: Bool {
        [MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_INCOMPATIBLE, MDB_NOTFOUND].contains(code)
    }

    /// mdb_strerror of the code.
    public var reason: String { String(cString: mdb_strerror(code)) }

    /// `reason (function)`.
    public var description: String { "\(reason) (\(operation))" }
}

func check(_ operation: StaticString, _ code: Int32) throws(LMDBError) {
    if code != MDB_SUCCESS { throw LMDBError(code: code, operation: "\(operation)") }
}
