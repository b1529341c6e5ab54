import CLarderSystem
import Glibc

/// What files take of a disk, and giving some of it back.
public enum FileSpace {
    /// Bytes of the blocks that an open file has, fstat(2): what it takes of the disk, whatever its length says.
    public static func allocatedBytes(descriptor: Int32) throws(SystemError) -> Int {
        var status = stat()
        try check("fstat") { fstat(descriptor, &status) }
        return Int(status.st_blocks) * 512
    }

    /// Bytes of the blocks of `path` and, if it is a directory, of all that is in it; 0 if there is nothing. Links are not
    /// followed.
    public static func allocatedBytes(_ path: String) -> Int {
        var status = stat()
        guard lstat(path, &status) == 0 else { return 0 }
        var bytes = Int(status.st_blocks) * 512
        guard status.st_mode & S_IFMT == S_IFDIR, let directory = opendir(path) else { return bytes }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { bytes += allocatedBytes(path + "/" + name) }
        }
        return bytes
    }

    /// Gives the blocks of part of an open file back to the file system: it reads as zeros from then on, and the file's
    /// length stays. fallocate(2), FALLOC_FL_PUNCH_HOLE. A file system that cannot do it throws ``SystemError/unsupported``.
    public static func punchHole(descriptor: Int32, at offset: Int, bytes: Int) throws(SystemError) {
        try check("fallocate") { larder_punch_hole(descriptor, Int64(offset), Int64(bytes)) }
    }

    /// Makes a file, if it is missing, and gives its first `bytes` their blocks, so that writing them through a map cannot
    /// meet a full disk (which is SIGBUS). Its length stays. fallocate(2), FALLOC_FL_KEEP_SIZE; where the file system cannot
    /// do it, nothing happens.
    public static func reserve(_ path: String, bytes: Int) throws(SystemError) {
        let file = try Descriptor.open(path, flags: O_RDWR | O_CREAT)
        let number = file.number
        do { try check("fallocate", path) { larder_reserve_blocks(number, Int64(bytes)) } } catch {
            if error.code != SystemError.unsupported { throw error }
        }
    }

    /// Cuts the file at `path` to `bytes`, truncate(2).
    public static func cut(_ path: String, to bytes: Int) throws(SystemError) {
        try check("truncate", path) { truncate(path, off_t(bytes)) }
    }

    /// Puts the file at `path` in the place of `target`, and returns when that survives power loss: fsync(2) of the file,
    /// rename(2), fsync(2) of the directory.
    public static func replace(_ target: String, with path: String) throws(SystemError) {
        try FileSystem.synchronise(path)
        try FileSystem.rename(path, to: target)
        try FileSystem.synchronise(target.lastIndex(of: "/").map { String(target[..<$0]) } ?? ".")
    }

    /// True if `bytes` of an open file can be mapped beside all that is: the address space may be bounded, setrlimit(2).
    public static func canMap(descriptor: Int32, bytes: Int) -> Bool {
        guard let address = mmap(nil, bytes, PROT_READ, Int32(MAP_SHARED), descriptor, 0), address != MAP_FAILED else {
            return false
        }
        munmap(address, bytes)
        return true
    }
}

extension SystemError {
    /// EOPNOTSUPP: the file system does not know the operation.
    public static let unsupported = EOPNOTSUPP
}
