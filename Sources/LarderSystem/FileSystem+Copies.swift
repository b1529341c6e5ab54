import Glibc

// What making and restoring copies of a store takes.
extension FileSystem {
    /// The path without links and dots, realpath(3); nil if it names nothing.
    public static func resolved(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }

    /// The names in a directory, in order; nil if it is none that can be read.
    public static func names(in path: String) -> [String]? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// rmdir(2) of an empty directory.
    public static func removeDirectory(_ path: String) throws(SystemError) { try check("rmdir", path) { rmdir(path) } }

    /// Whose a file is.
    public struct Owner: Sendable, Hashable {
        /// User id.
        public let user: UInt32
        /// Group id.
        public let group: UInt32

        /// An owner from its fields.
        public init(user: UInt32, group: UInt32) {
            self.user = user
            self.group = group
        }
    }

    /// The owner of what `path` names, stat(2); nil if nothing.
    public static func owner(_ path: String) -> Owner? {
        var status = stat()
        return stat(path, &status) == 0 ? Owner(user: status.st_uid, group: status.st_gid) : nil
    }

    /// chown(2).
    public static func give(_ path: String, to owner: Owner) throws(SystemError) {
        try check("chown", path) { chown(path, owner.user, owner.group) }
    }
}

extension Descriptor {
    /// open(2) of a file for reading.
    public static func reading(_ path: String) throws(SystemError) -> Descriptor { try open(path, flags: O_RDONLY) }

    /// open(2) of a file to go on writing behind its first `bytes`, which is cut to them, ftruncate(2).
    public static func appending(_ path: String, after bytes: Int) throws(SystemError) -> Descriptor {
        let file = try open(path, flags: O_WRONLY | O_APPEND)
        do { try file.truncate(to: bytes) } catch { throw SystemError(error.operation, path, code: error.code) }
        return file
    }

    /// A descriptor of this process's standard input, dup(2).
    public static func standardInput() throws(SystemError) -> Descriptor {
        Descriptor(owning: try check("dup", "standard input") { dup(0) })
    }

    /// A descriptor of this process's standard output, dup(2).
    public static func standardOutput() throws(SystemError) -> Descriptor {
        Descriptor(owning: try check("dup", "standard output") { dup(1) })
    }

    /// read(2) until `buffer` is full or there is no more, from where the last call ended. Returns the bytes read.
    public func readNext(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try check("read") { Glibc.read(number, buffer.baseAddress! + done, buffer.count - done) }
            if count == 0 { break }
            done += count
        }
        return done
    }
}

extension SystemError {
    /// EINVAL.
    public static let invalid = EINVAL

    /// True if a disk or a quota is full.
    public var lacksRoom: Bool { code == Self.noSpace || code == Self.quotaExceeded }
}

extension FileSystem {
    /// The path from the root on; a relative one is taken from the working directory, getcwd(3).
    public static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory = getcwd(nil, 0) else { return path }
        defer { free(directory) }
        return String(cString: directory) + "/" + path
    }
}
