// The part of LMDB that Larder uses, with ownership that the compiler checks: an environment closes itself, a
// transaction that is not committed aborts, a cursor cannot outlive its scope. Caveats of lmdb.h that are turned into
// structure here:
//  - one mdb_env_open per process and path: the store's lock file sees to it;
//  - a reader blocks the reuse of pages: `ReadTransaction` is reset between requests;
//  - MDB_NOTLS: a reader belongs to an object, not to a thread;
//  - values point into the map and die with the transaction: nothing here copies them, callers must.
import CLMDB
import Glibc
import LarderSystem

/// Owns an LMDB environment (`mdb_env_*`).
public struct Environment: ~Copyable, @unchecked Sendable {
    let handle: OpaquePointer

    /// Opens the environment in the directory `path`, mdb_env_open.
    ///
    /// The flags are those of the store's layout: MDB_NOMETASYNC (a commit survives the process; ``synchronise()`` makes
    /// it survive power loss), MDB_NORDAHEAD, MDB_NOTLS.
    /// - Parameter mapBytes: the most that the data file can ever hold.
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
        var info = MDB_envinfo()
        try check("mdb_env_info", mdb_env_info(handle, &info))
        return (info.me_mapsize, info.me_last_pgno, info.me_last_txnid)
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
}
