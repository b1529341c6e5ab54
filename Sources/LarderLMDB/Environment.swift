// The part of LMDB that Larder uses, with ownership that the compiler checks: an environment closes itself, a
// transaction that is not committed aborts, a cursor cannot outlive its scope. Caveats of lmdb.h that are turned into
// structure here:
//  - one mdb_env_open per process and path: the store's lock file sees to it;
//  - the map may be moved only while no transaction is active: read transactions pass a gate that ``setMap`` closes;
//  - a reader blocks the reuse of pages: `ReadTransaction` is reset between requests;
//  - MDB_NOTLS: a reader belongs to an object, not to a thread;
//  - values point into the map and die with the transaction: nothing here copies them, callers must.
import CLMDB
import Glibc
import LarderSystem

/// Owns an LMDB environment (`mdb_env_*`).
public struct Environment: ~Copyable, @unchecked Sendable {
    let handle: OpaquePointer
    /// Passed by all that looks into the map, closed while the map is moved.
    let gate = SharedGate()

    /// Opens the environment in the directory `path`, mdb_env_open.
    ///
    /// The flags are those of the store's layout: MDB_NOMETASYNC (a commit survives the process; ``synchronise()`` makes
    /// it survive power loss), MDB_NORDAHEAD, MDB_NOTLS.
    /// - Parameter mapBytes: the most that the data file can hold, or what it has if that is more.
    public init(path: String, mapBytes: Int, databases: Int, readers: Int) throws(LMDBError) {
        var environment: OpaquePointer?
        try check("mdb_env_create", mdb_env_create(&environment))
        let opened = environment!
        do throws(LMDBError) {
            try check("mdb_env_set_mapsize", mdb_env_set_mapsize(opened, mapBytes))
            try check("mdb_env_set_maxdbs", mdb_env_set_maxdbs(opened, UInt32(databases)))
            try check("mdb_env_set_maxreaders", mdb_env_set_maxreaders(opened, UInt32(readers)))
            try check(
                "mdb_env_open", mdb_env_open(opened, path, UInt32(MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOTLS), 0o600))
        } catch {
            mdb_env_close(opened)
            throw error
        }
        handle = opened
    }

    deinit { mdb_env_close(handle) }

    /// Makes every commit so far survive power loss, mdb_env_sync.
    public func synchronise() throws(LMDBError) {
        try check("mdb_env_sync", mdb_env_sync(handle, 1))
    }

    /// Frees the slots of readers whose process died, mdb_reader_check. Returns how many there were.
    @discardableResult
    public func clearStaleReaders() throws(LMDBError) -> Int {
        var dead: Int32 = 0
        try check("mdb_reader_check", mdb_reader_check(handle, &dead))
        return Int(dead)
    }

    /// What mdb_env_info says.
    public func information() throws(LMDBError) -> (mapBytes: Int, lastPage: Int, lastTransaction: Int) {
        gate.enter()
        defer { gate.leave() }
        var info = MDB_envinfo()
        try check("mdb_env_info", mdb_env_info(handle, &info))
        return (info.me_mapsize, info.me_last_pgno, info.me_last_txnid)
    }
}

extension Environment {
    /// Changes the most that the data file can hold, mdb_env_set_mapsize; never below what it has. Returns the bytes that
    /// then hold, or nil, having changed nothing, if a read transaction is still active at `deadline`.
    ///
    /// Must not be called while a write transaction is open. Read transactions that begin meanwhile wait.
    public func setMap(bytes: Int, until deadline: UInt64) throws(LMDBError) -> Int? {
        // LMDB has let the old map go when it finds that there is no room for the new one, and cannot go back.
        guard FileSpace.canMap(descriptor: dataDescriptor, bytes: bytes) else {
            throw LMDBError(code: SystemError.noMemory, operation: "mmap")
        }
        guard gate.close(until: deadline) else { return nil }
        defer { gate.open() }
        let code = mdb_env_set_mapsize(handle, bytes)
        precondition(
            code == MDB_SUCCESS, "the data file could not be mapped anew: \(String(cString: mdb_strerror(code)))")
        var info = MDB_envinfo()
        try check("mdb_env_info", mdb_env_info(handle, &info))
        return info.me_mapsize
    }

    /// Writes what is in use to a new file at `path`, without gaps, mdb_env_copyfd2 with MDB_CP_COMPACT.
    public func copyCompacted(to path: String) throws {
        let file = try Descriptor.create(path)
        let code = mdb_env_copyfd2(handle, file.number, UInt32(MDB_CP_COMPACT))
        try check("mdb_env_copyfd2", code)
    }

    /// Writes what is in use, as it is at one moment, to a pipe or file without gaps, mdb_env_copyfd2 with MDB_CP_COMPACT.
    /// Others may read and write meanwhile; ``setMap(bytes:until:)`` finds the map in use. The first byte is written when
    /// the moment has passed.
    public func copyCompacted(toDescriptor descriptor: Int32) throws(LMDBError) {
        gate.enter()
        defer { gate.leave() }
        try check("mdb_env_copyfd2", mdb_env_copyfd2(handle, descriptor, UInt32(MDB_CP_COMPACT)))
    }

    /// The descriptor of the data file, mdb_env_get_fd. Valid as long as the environment.
    public var dataDescriptor: Int32 {
        var descriptor: Int32 = -1
        mdb_env_get_fd(handle, &descriptor)
        return descriptor
    }
}

/// A named database of an environment (`MDB_dbi`). Valid as long as its environment.
public struct Database: Sendable {
    let index: MDB_dbi

    /// How a database orders its keys.
    public enum Keys: Sendable {
        /// As bytes.
        case bytes
        /// As native 64-bit integers, MDB_INTEGERKEY.
        case integers
    }
}

/// The bytes that mdb_stat counts for a database.
public struct DatabaseStatistics: Sendable {
    /// Entries.
    public let entries: Int
    /// Pages of all kinds.
    public let pages: Int
    /// Pages of the tree, without large values.
    public let treePages: Int
    /// Levels of the tree.
    public let depth: Int
}
