import LarderSystem

/// What the disk under a directory does by itself.
struct Disk {
    private let path: String

    init(in directory: String) { path = directory + "/sequential" }

    /// Nanoseconds to write `bytes` to a new file and have them on the disk.
    func writeNewFile(_ bytes: UnsafeMutableRawBufferPointer) throws -> Double {
        try FileSystem.remove(path)
        defer { try? FileSystem.remove(path) }
        return try Stopwatch.time { try FileSystem.writeThrough(UnsafeRawBufferPointer(bytes), to: path) }
    }

    /// Nanoseconds to write `bytes` over those of a file that is there, and have them on the disk.
    func overwrite(_ bytes: UnsafeMutableRawBufferPointer) throws -> Double {
        let old = path + ".old"
        if !FileSystem.exists(old) { try FileSystem.writeThrough(UnsafeRawBufferPointer(bytes), to: old) }
        return try Stopwatch.time { try FileSystem.writeThrough(UnsafeRawBufferPointer(bytes), to: old) }
    }
}
