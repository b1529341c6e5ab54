import CLarderSystem
import Glibc

/// The few file operations that Larder needs, with typed errors.
public enum FileSystem {
    /// mkdir(2) of `path` and of the parents that are missing.
    public static func makeDirectory(_ path: String, mode: UInt32 = 0o700) throws(SystemError) {
        if mkdir(path, mode) == 0 { return }
        if errno == EEXIST {
            if isDirectory(path) { return }
            throw SystemError("mkdir", path, code: ENOTDIR)
        }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw SystemError("mkdir", path)
        }
        try makeDirectory(String(path[..<slash]), mode: mode)
        try check("mkdir", path) { mkdir(path, mode) }
    }

    /// True if `path` names a directory.
    public static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// True if `path` names anything.
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Bytes of the file at `path`, or nil if it cannot be examined.
    public static func size(_ path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    /// Which file a path names, whatever else it is called.
    public struct Identity: Sendable, Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// The identity of what `path` names; nil if nothing.
    public static func identity(_ path: String) -> Identity? {
        var status = stat()
        return lstat(path, &status) == 0 ? Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)) : nil
    }

    /// Bytes that this user may still write to the file system of `path`, statvfs(3); nil if it cannot be asked.
    public static func availableBytes(_ path: String) -> Int? {
        var status = statvfs()
        return statvfs(path, &status) == 0 ? Int(status.f_bavail) * Int(status.f_frsize) : nil
    }

    /// The whole file, at most `limit` bytes; a larger one throws EFBIG.
    public static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
        let file = try Descriptor.open(path, flags: O_RDONLY)
        let size = try file.size()
        if size > limit { throw SystemError("read", path, code: EFBIG) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(size, 1), alignment: 1)
        defer { buffer.deallocate() }
        do {
            let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<size]), at: 0)
            return Array(buffer[..<count])
        } catch {
            throw SystemError("read", path, code: error.code)
        }
    }

    /// The start of a file of proc(5), which does not say its size; nil if it cannot be read.
    static func readProc(_ path: String) -> String? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 1)
        defer { buffer.deallocate() }
        guard let file = try? Descriptor.open(path, flags: O_RDONLY), let count = try? file.read(into: buffer, at: 0)
        else { return nil }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Replaces the file at `path` with `bytes`.
    public static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600) throws(SystemError) {
        let file = try Descriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        do { try file.write(bytes) } catch { throw SystemError(error.operation, path, code: error.code) }
    }

    /// Writes `bytes` behind what the file at `path` holds.
    public static func append(_ bytes: [UInt8], to path: String) throws(SystemError) {
        let file = try Descriptor.open(path, flags: O_WRONLY | O_CREAT | O_APPEND)
        do { try file.write(bytes) } catch { throw SystemError(error.operation, path, code: error.code) }
    }

    /// Writes `bytes` from the start of the file at `path`, which is made if it is missing and not cut if it is longer, and
    /// returns when they are on the disk, fdatasync(2).
    public static func writeThrough(_ bytes: UnsafeRawBufferPointer, to path: String) throws(SystemError) {
        let file = try Descriptor.open(path, flags: O_WRONLY | O_CREAT)
        do {
            try file.write(bytes)
            try file.synchroniseData()
        } catch { throw SystemError(error.operation, path, code: error.code) }
    }

    /// Puts a file with `bytes` in the place of the one at `path`, if there is one, at once, rename(2): a reader, or a start
    /// after a crash of the process, finds the old or the new. Not made to survive power loss.
    public static func replace(_ path: String, with bytes: [UInt8]) throws(SystemError) {
        let temporary = path + ".new"
        do {
            try write(bytes, to: temporary)
            try rename(temporary, to: path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// rename(2).
    public static func rename(_ path: String, to target: String) throws(SystemError) {
        try check("rename", target) { Glibc.rename(path, target) }
    }

    /// Makes a file, or the names in a directory, survive power loss, fsync(2).
    public static func synchronise(_ path: String) throws(SystemError) {
        let file = try Descriptor.open(path, flags: O_RDONLY)
        let number = file.number
        try check("fsync", path) { fsync(number) }
    }

    /// unlink(2); a missing file is no error.
    public static func remove(_ path: String) throws(SystemError) {
        if unlink(path) == 0 || errno == ENOENT { return }
        throw SystemError("unlink", path)
    }

    /// Removes a directory and what is in it, without following links. For temporary directories.
    public static func removeTree(_ path: String) {
        let isDirectory = forEachEntry(path) { entry, isDirectory in
            if isDirectory { removeTree(entry) } else { unlink(entry) }
        }
        if isDirectory { rmdir(path) } else { unlink(path) }
    }

    /// Bytes of all files in a directory and those below it by their lengths, whether or not all of them are on the disk.
    public static func treeBytes(_ path: String) -> Int {
        var bytes = 0
        forEachEntry(path) { entry, isDirectory in bytes += isDirectory ? treeBytes(entry) : size(entry) ?? 0 }
        return bytes
    }

    /// Calls `body` with the path of each entry of a directory, readdir(3). False if it is none that can be read.
    @discardableResult
    private static func forEachEntry(_ path: String, _ body: (_ entry: String, _ isDirectory: Bool) -> Void) -> Bool {
        guard let directory = opendir(path) else { return false }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            body(path + "/" + name, Int32(entry.pointee.d_type) == Int32(DT_DIR))
        }
        return true
    }

    /// A new directory under TMPDIR or /tmp, mkdtemp(3).
    public static func makeTemporaryDirectory(prefix: String) throws(SystemError) -> String {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/\(prefix)XXXXXX".utf8CString)
        guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
            throw SystemError("mkdtemp", base)
        }
        return template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// chmod(2) and, if a group is named, chown(2) to it.
    public static func setAccess(_ path: String, mode: UInt32, group: String?) throws(SystemError) {
        if let group {
            guard let entry = getgrnam(group) else { throw SystemError("getgrnam", "group '\(group)'", code: ENOENT) }
            try check("chown", path) { chown(path, uid_t.max, entry.pointee.gr_gid) }
        }
        try check("chmod", path) { chmod(path, mode) }
    }
}
