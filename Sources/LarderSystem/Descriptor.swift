import CLarderSystem
import Glibc

/// Owns a file descriptor and closes it when it goes out of scope.
public struct Descriptor: ~Copyable, Sendable {
    /// The descriptor's number, for the calls in this module.
    public let number: Int32

    /// Takes ownership of `number`.
    public init(owning number: Int32) {
        precondition(number >= 0, "a descriptor is not negative")
        self.number = number
    }

    deinit { _ = close(number) }

    /// open(2) with O_CLOEXEC.
    public static func open(_ path: String, flags: Int32, mode: mode_t = 0o600) throws(SystemError) -> Descriptor {
        Descriptor(owning: try check("open", path) { larder_open(path, flags | O_CLOEXEC, mode) })
    }

    /// open(2) of a new file for writing; one that is there already throws EEXIST.
    public static func create(_ path: String) throws(SystemError) -> Descriptor {
        try open(path, flags: O_WRONLY | O_CREAT | O_EXCL)
    }

    /// open(2) for reading and writing of a file that only this user may read, which is made if it is missing. A link is not
    /// followed.
    public static func openOrCreate(_ path: String) throws(SystemError) -> Descriptor {
        try open(path, flags: O_RDWR | O_CREAT | O_NOFOLLOW)
    }

    /// pwrite(2) until all of `bytes` is written.
    public func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            done += try check("pwrite") {
                bytes[done...].withUnsafeBytes { pwrite(number, $0.baseAddress!, $0.count, off_t(offset + done)) }
            }
        }
    }

    /// pread(2) until `buffer` is full or the file ends. Returns the bytes read.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(SystemError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try check("pread") {
                pread(number, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// write(2) until all of `bytes` is written.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            done += try check("write") { Glibc.write(number, bytes.baseAddress! + done, bytes.count - done) }
        }
    }

    /// write(2) until all of `bytes` is written.
    public func write(_ bytes: [UInt8]) throws(SystemError) {
        try bytes.withUnsafeBufferPointer { buffer throws(SystemError) in try write(UnsafeRawBufferPointer(buffer)) }
    }

    /// fdatasync(2).
    public func synchroniseData() throws(SystemError) {
        try check("fdatasync") { fdatasync(number) }
    }

    /// ftruncate(2).
    public func truncate(to bytes: Int) throws(SystemError) {
        try check("ftruncate") { ftruncate(number, off_t(bytes)) }
    }

    /// The file's size in bytes, fstat(2).
    public func size() throws(SystemError) -> Int {
        var status = stat()
        try check("fstat") { fstat(number, &status) }
        return Int(status.st_size)
    }
}
