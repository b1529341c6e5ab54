import CLarderSystem
import Glibc

/// Holds an exclusive lock on a file that names the holder's pid, for as long as it lives.
public struct LockFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Why a lock was not had.
    public enum Failure: Error {
        /// Another process holds it; its pid as it wrote it, if it did.
        case held(pid: Int32?)
        /// The file could not be opened, locked or written.
        case system(SystemError)
    }

    private init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Unlocks: closing alone would not, while a child between fork and exec has the descriptor too.
    deinit { flock(descriptor.number, LOCK_UN) }

    /// Creates or opens `path` and takes flock(2) on it without waiting.
    public static func acquire(_ path: String) throws(Failure) -> LockFile {
        do throws(SystemError) {
            let descriptor = try Descriptor.open(path, flags: O_RDWR | O_CREAT)
            if flock(descriptor.number, LOCK_EX | LOCK_NB) != 0 {
                if errno != EWOULDBLOCK { throw SystemError("flock", path) }
            } else {
                try descriptor.truncate(to: 0)
                try descriptor.write(Array("\(getpid())\n".utf8))
                return LockFile(descriptor)
            }
        } catch { throw .system(error) }
        throw .held(pid: pid(in: path))
    }

    private static func pid(in path: String) -> Int32? {
        guard let bytes = try? FileSystem.read(path, limit: 64) else { return nil }
        return Int32(String(decoding: bytes, as: UTF8.self).split(separator: "\n").first ?? "")
    }
}
