import CLarderSystem
import Glibc

/// What a process may tell the kernel and the allocator of its memory.
public enum Memory {
    /// Has the allocator keep up to `bytes` that were freed instead of giving them back at once, mallopt(3). For a process
    /// that takes and frees buffers of megabytes all the time: each page that the kernel gives anew costs more than the copy
    /// into it. Call before any thread starts.
    public static func keepFreed(bytes: Int) { _ = larder_keep_freed(32 << 20, Int32(bytes)) }

    /// Zeroed memory of whole pages that goes back to the kernel as soon as it is unmapped, mmap(2); nil if there is none.
    public static func map(_ byteCount: Int) -> UnsafeMutableRawBufferPointer? {
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, Int32(MAP_PRIVATE | MAP_ANONYMOUS), -1, 0)
        guard let address, address != MAP_FAILED else { return nil }
        // What workers send is in it.
        madvise(address, byteCount, Int32(MADV_DONTDUMP))
        return UnsafeMutableRawBufferPointer(start: address, count: byteCount)
    }

    /// Gives back what ``map(_:)`` gave, munmap(2).
    public static func unmap(_ bytes: UnsafeMutableRawBufferPointer) { munmap(bytes.baseAddress, bytes.count) }

    /// The kernel reads no more than this ahead for one call.
    private static let readAheadBytes = 128 << 10

    /// Asks the kernel to read mapped bytes of a file into the page cache, madvise(2). May wait for the disk's queue.
    public static func willNeed(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        var start = UInt(bitPattern: base) & ~4_095
        let end = UInt(bitPattern: base) + UInt(bytes.count)
        while start < end {
            let count = min(Int(end - start), readAheadBytes)
            madvise(UnsafeMutableRawPointer(bitPattern: start), count, MADV_WILLNEED)
            start += UInt(count)
        }
    }
}
