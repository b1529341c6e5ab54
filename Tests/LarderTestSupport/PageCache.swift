import Glibc

/// The kernel's page cache, for tests of what is in it.
public enum PageCache {
    /// Asks the kernel to forget a file's pages, posix_fadvise(2). They must have been written and be mapped nowhere.
    public static func drop(_ path: String) {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        fdatasync(descriptor)
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    /// The part of a file's pages that is in memory, mincore(2); nil if it cannot be told.
    public static func residentShare(_ path: String) -> Double? {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let bytes = Int(lseek(descriptor, 0, SEEK_END))
        guard bytes > 0, let map = mmap(nil, bytes, PROT_READ, MAP_SHARED, descriptor, 0), map != MAP_FAILED else {
            return nil
        }
        defer { munmap(map, bytes) }
        var pages = [UInt8](repeating: 0, count: (bytes + 4_095) / 4_096)
        guard mincore(map, bytes, &pages) == 0 else { return nil }
        return Double(pages.reduce(0) { $0 + Int($1 & 1) }) / Double(pages.count)
    }
}
