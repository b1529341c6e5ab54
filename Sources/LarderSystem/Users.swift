import Glibc

/// What the system knows of users and groups.
public enum Users {
    /// True if a group is a user's own or one that it is a member of, getpwuid_r(3) and getgrouplist(3). False for a user that
    /// the system does not know.
    public static func isMember(userID: UInt32, groupID: UInt32) -> Bool {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { text in
            guard getpwuid_r(userID, &entry, text.baseAddress!, text.count, &found) == 0, found != nil else {
                return false
            }
            var count = Int32(groups)
            return withUnsafeTemporaryAllocation(of: gid_t.self, capacity: groups) { list in
                guard getgrouplist(entry.pw_name, entry.pw_gid, list.baseAddress!, &count) >= 0 else { return false }
                return list[..<Int(count)].contains(groupID)
            }
        }
    }

    /// Groups of a user that are looked at; a member of more is not found.
    private static let groups = 1_024

    /// The number of a user, getpwnam(3). Throws ENOENT for one that the system does not know.
    public static func userID(named name: String) throws(SystemError) -> UInt32 {
        guard let entry = getpwnam(name) else { throw SystemError("getpwnam", "user '\(name)'", code: ENOENT) }
        return entry.pointee.pw_uid
    }

    /// The primary group of a user, getpwnam(3).
    public static func primaryGroupID(of name: String) throws(SystemError) -> UInt32 {
        guard let entry = getpwnam(name) else { throw SystemError("getpwnam", "user '\(name)'", code: ENOENT) }
        return entry.pointee.pw_gid
    }

    /// The number of a group, getgrnam(3). Throws ENOENT for one that the system does not know.
    public static func groupID(named name: String) throws(SystemError) -> UInt32 {
        guard let entry = getgrnam(name) else { throw SystemError("getgrnam", "group '\(name)'", code: ENOENT) }
        return entry.pointee.gr_gid
    }
}

extension FileSystem {
    /// A file that others must not read: at most `limit` bytes. Throws EACCES unless it is a regular file of this user's or
    /// root's that nobody else may read or write, EFBIG if it is longer.
    public static func readSecret(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
        let file = try Descriptor.open(path, flags: O_RDONLY | O_NONBLOCK)
        var status = stat()
        try check("fstat", path) { fstat(file.number, &status) }
        let isOwn = status.st_uid == geteuid() || status.st_uid == 0
        guard status.st_mode & S_IFMT == S_IFREG, isOwn, status.st_mode & 0o077 == 0 else {
            throw SystemError("read", path, code: EACCES)
        }
        guard status.st_size <= limit else { throw SystemError("read", path, code: EFBIG) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, Int(status.st_size)), alignment: 1)
        defer { buffer.deallocate() }
        let count = try file.read(
            into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(status.st_size)]), at: 0)
        return Array(buffer[..<count])
    }

    /// True if two secrets are equal, in a time that tells only their lengths.
    public static func areEqual(secret: [UInt8], _ other: [UInt8]) -> Bool {
        guard secret.count == other.count else { return false }
        return zip(secret, other).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
