import Glibc

extension FileSystem {
    /// Why a path is not to be trusted: another user could put something else in its place. The text says what and the
    /// remedy.
    public struct Distrust: Error, Sendable, CustomStringConvertible {
        /// One sentence.
        public let description: String
    }

    /// Throws unless only root and this user decide what is at `path`, a directory or a file, and in it: it and every
    /// directory above it, as named and as links resolve, is root's or this user's, and nobody else may write there. A
    /// directory with the sticky bit, such as /tmp, is fit above it: names in it are taken away by their owners only.
    ///
    /// - Parameter leafMayBeSticky: true for a directory in which this user's own names are all that matters.
    public static func requireTrust(_ path: String, leafMayBeSticky: Bool = false) throws(Distrust) {
        let leaf = resolved(path)
        for start in [path.hasPrefix("/") ? path : nil, leaf].compactMap({ $0 }) {
            var current = start
            var isLeaf = true
            while true {
                try requireOwn(current, maySticky: !isLeaf || leafMayBeSticky)
                guard current != "/", !current.isEmpty else { break }
                let parent = current.lastIndex(of: "/").map { String(current[..<$0]) } ?? ""
                current = parent.isEmpty ? "/" : parent
                isLeaf = false
            }
        }
    }

    private static func requireOwn(_ path: String, maySticky: Bool) throws(Distrust) {
        var status = stat()
        // What does not exist yet is made by this user, below what is looked at next.
        guard stat(path, &status) == 0 else { return }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw Distrust(
                description:
                    "\(path) belongs to user \(status.st_uid), who could put something else in its place; chown it "
                    + "to the daemon's user (\(geteuid())) or to root, or choose another path")
        }
        let isSticky = status.st_mode & S_IFMT == S_IFDIR && status.st_mode & S_ISVTX != 0
        guard status.st_mode & 0o022 == 0 || (isSticky && maySticky) else {
            throw Distrust(
                description:
                    "\(path) has mode \(String(status.st_mode & 0o7777, radix: 8)): others than its owner could put "
                    + "something else in its place; chmod go-w \(path), or choose another path")
        }
    }
}

extension FileSystem {
    /// True if this thread's user may execute a file, access(2).
    public static func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }
}
