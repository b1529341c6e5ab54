import CLMDB
import LarderSystem

/// What a read and a write transaction share: looking up.
public protocol Transaction: ~Copyable {
    /// The `MDB_txn`.
    var handle: OpaquePointer { get }
}

extension Transaction where Self: ~Copyable {
    /// The value under `key`, in the map: valid until the transaction ends or writes. mdb_get.
    public func get(_ database: Database, _ key: UnsafeRawBufferPointer) throws(LMDBError) -> UnsafeRawBufferPointer? {
        var name = MDB_val(key)
        var value = MDB_val()
        let code = mdb_get(handle, database.index, &name, &value)
        if code == MDB_NOTFOUND { return nil }
        try check("mdb_get", code)
        return UnsafeRawBufferPointer(value)
    }

    /// Entries and pages of a database, mdb_stat.
    public func statistics(_ database: Database) throws(LMDBError) -> DatabaseStatistics {
        var status = MDB_stat()
        try check("mdb_stat", mdb_stat(handle, database.index, &status))
        return DatabaseStatistics(
            entries: status.ms_entries,
            pages: status.ms_branch_pages &+ status.ms_leaf_pages &+ status.ms_overflow_pages,
            treePages: status.ms_branch_pages &+ status.ms_leaf_pages, depth: Int(status.ms_depth))
    }

    /// Pages of LMDB's own main and free lists.
    public func ownPages() throws(LMDBError) -> Int {
        try statistics(Database(index: 0)).pages &+ statistics(Database(index: 1)).pages
    }

    /// Calls `body` with each entry from the first key not below `start`, in order, until it returns false.
    public func scan(
        _ database: Database, from start: UnsafeRawBufferPointer,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        var cursor: OpaquePointer?
        try check("mdb_cursor_open", mdb_cursor_open(handle, database.index, &cursor))
        defer { mdb_cursor_close(cursor) }
        var key = MDB_val(start)
        var value = MDB_val()
        var code = mdb_cursor_get(cursor, &key, &value, start.isEmpty ? MDB_FIRST : MDB_SET_RANGE)
        while code == MDB_SUCCESS {
            if try !body(UnsafeRawBufferPointer(key), UnsafeRawBufferPointer(value)) { return }
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
        }
        if code != MDB_NOTFOUND { try check("mdb_cursor_get", code) }
    }

    /// Calls `body` with the last entry whose key is not above `bound`; returns nil if there is none.
    public func last<Result>(
        _ database: Database, notAbove bound: UnsafeRawBufferPointer,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result? {
        var cursor: OpaquePointer?
        try check("mdb_cursor_open", mdb_cursor_open(handle, database.index, &cursor))
        defer { mdb_cursor_close(cursor) }
        var key = MDB_val(bound)
        var value = MDB_val()
        var code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
        if code == MDB_NOTFOUND {
            code = mdb_cursor_get(cursor, &key, &value, MDB_LAST)
        } else if code == MDB_SUCCESS, !UnsafeRawBufferPointer(key).elementsEqual(bound) {
            code = mdb_cursor_get(cursor, &key, &value, MDB_PREV)
        }
        if code == MDB_NOTFOUND { return nil }
        try check("mdb_cursor_get", code)
        return try body(UnsafeRawBufferPointer(key), UnsafeRawBufferPointer(value))
    }
}

/// A snapshot for reading. Kept by its owner and renewed for each request: a renewal costs 0.1 us.
///
/// Used by one thread at a time; its environment must outlive it.
public struct ReadTransaction: ~Copyable, @unchecked Sendable, Transaction {
    public let handle: OpaquePointer
    private let passage: Passage

    /// The environment's gate, and whether the transaction is past it: it is while it has a snapshot.
    private final class Passage {
        let gate: SharedGate
        var isInside = false

        init(_ gate: SharedGate) { self.gate = gate }

        func leave() {
            if isInside { gate.leave() }
            isInside = false
        }
    }

    /// Begins a read transaction in its reset state: call ``renew()`` before the first look-up.
    public init(_ environment: borrowing Environment) throws(LMDBError) {
        environment.gate.enter()
        defer { environment.gate.leave() }
        var transaction: OpaquePointer?
        try check("mdb_txn_begin", mdb_txn_begin(environment.handle, nil, UInt32(MDB_RDONLY), &transaction))
        handle = transaction!
        passage = Passage(environment.gate)
        mdb_txn_reset(handle)
    }

    /// A snapshot of an environment as it is now.
    public static func renewed(_ environment: borrowing Environment) throws(LMDBError) -> ReadTransaction {
        let transaction = try ReadTransaction(environment)
        try transaction.renew()
        return transaction
    }

    deinit {
        mdb_txn_abort(handle)
        passage.leave()
    }

    /// Takes the newest snapshot, mdb_txn_renew. Waits while the map is moved, ``Environment/setMap(bytes:until:)``.
    public func renew() throws(LMDBError) {
        let isNew = !passage.isInside
        if isNew { passage.gate.enter() }
        passage.isInside = true
        do throws(LMDBError) { try check("mdb_txn_renew", mdb_txn_renew(handle)) } catch {
            if isNew { passage.leave() }
            throw error
        }
    }

    /// Lets the snapshot go, so that its pages can be reused, mdb_txn_reset.
    public func reset() {
        mdb_txn_reset(handle)
        passage.leave()
    }
}

/// A write transaction. Aborts unless committed. One at a time in an environment.
public struct WriteTransaction: ~Copyable, Transaction {
    public let handle: OpaquePointer
    /// What was asked of it so far.
    let effort: UnsafeMutablePointer<WriteEffort>

    /// Begins a write transaction, mdb_txn_begin; waits for the one before it.
    public init(_ environment: borrowing Environment) throws(LMDBError) {
        var transaction: OpaquePointer?
        try check("mdb_txn_begin", mdb_txn_begin(environment.handle, nil, 0, &transaction))
        handle = transaction!
        effort = .allocate(capacity: 1)
        effort.initialize(to: WriteEffort())
    }

    deinit {
        mdb_txn_abort(handle)
        effort.deallocate()
    }

    /// Commits, mdb_txn_commit. LMDB frees the transaction whether or not it succeeds.
    public consuming func commit() throws(LMDBError) {
        let handle = handle
        effort.deallocate()
        discard self
        try check("mdb_txn_commit", mdb_txn_commit(handle))
    }

    /// Opens or creates a named database, mdb_dbi_open.
    public func open(_ name: String, keys: Database.Keys) throws(LMDBError) -> Database {
        var index = MDB_dbi()
        let flags = keys == .integers ? MDB_CREATE | MDB_INTEGERKEY : MDB_CREATE
        try check("mdb_dbi_open", mdb_dbi_open(handle, name, UInt32(flags), &index))
        return Database(index: index)
    }

    /// Stores `value` under `key`, replacing what was there, mdb_put.
    public func put(_ database: Database, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
        throws(LMDBError)
    {
        var name = MDB_val(key)
        var content = MDB_val(value)
        effort.pointee.count(valueBytes: value.count)
        try check("mdb_put", mdb_put(handle, database.index, &name, &content, 0))
    }

    /// Room for a value of `byteCount` bytes under a key above all others, to be filled before the next write.
    /// mdb_put with MDB_RESERVE and MDB_APPEND.
    public func reserve(
        _ database: Database, appending key: UnsafeRawBufferPointer, byteCount: Int
    ) throws(LMDBError) -> UnsafeMutableRawBufferPointer {
        var name = MDB_val(key)
        var content = MDB_val(mv_size: byteCount, mv_data: nil)
        effort.pointee.count(valueBytes: byteCount)
        try check("mdb_put", mdb_put(handle, database.index, &name, &content, UInt32(MDB_RESERVE | MDB_APPEND)))
        return UnsafeMutableRawBufferPointer(start: content.mv_data, count: content.mv_size)
    }

    /// Deletes `key`, mdb_del. Returns false if it was not there.
    @discardableResult
    public func delete(_ database: Database, _ key: UnsafeRawBufferPointer) throws(LMDBError) -> Bool {
        var name = MDB_val(key)
        effort.pointee.count(valueBytes: 0)
        let code = mdb_del(handle, database.index, &name, nil)
        if code == MDB_NOTFOUND { return false }
        try check("mdb_del", code)
        return true
    }
}

extension MDB_val {
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
    }
}

extension UnsafeRawBufferPointer {
    init(_ value: MDB_val) { self.init(start: value.mv_data, count: value.mv_size) }
}
