import CLarderSystem
import Glibc

/// Memory that two processes share: a sealed memfd, mapped. Unmapped and closed when it goes out of scope.
///
/// Sealed against shrinking and growing, so that a peer cannot make this process fault by truncating it. What is in it may
/// change at any moment: read each value once, and check what was read.
public struct SharedMemory: ~Copyable, @unchecked Sendable {
    /// The mapping.
    public let bytes: UnsafeMutableRawBufferPointer
    private let descriptor: Descriptor

    /// Why a peer's descriptor is no memory to share.
    public enum Refusal: Error, Sendable {
        /// Not a memfd, or another file without seals.
        case notSealable
        /// A memfd that its owner could still resize.
        case notSealed
        /// Another size than was said, or none.
        case size(Int)
        /// The system refused.
        case system(SystemError)
    }

    private init(_ descriptor: consuming Descriptor, _ bytes: UnsafeMutableRawBufferPointer) {
        self.descriptor = descriptor
        self.bytes = bytes
    }

    deinit { munmap(bytes.baseAddress, bytes.count) }

    /// Keeps all of it in memory, never in swap, mlock(2). Throws ENOMEM where that is above RLIMIT_MEMLOCK.
    public func lock() throws(SystemError) {
        try check("mlock", "\(bytes.count) bytes") { mlock(bytes.baseAddress, bytes.count) }
    }

    /// New memory of `byteCount` bytes, zeroed, sealed, left out of core dumps. memfd_create(2).
    public static func create(name: String, byteCount: Int) throws(SystemError) -> SharedMemory {
        let descriptor = Descriptor(owning: try check("memfd_create") { larder_memfd_create(name) })
        try descriptor.truncate(to: byteCount)
        try check("fcntl(F_ADD_SEALS)") { larder_seal_size(descriptor.number) }
        return try map(descriptor, byteCount)
    }

    /// Memory that a peer made and sealed.
    public static func adopt(_ descriptor: consuming Descriptor, byteCount: Int) throws(Refusal) -> SharedMemory {
        switch larder_is_size_sealed(descriptor.number) {
        case 1: break
        case 0: throw .notSealed
        default: throw .notSealable
        }
        do {
            let size = try descriptor.size()
            guard size == byteCount, size > 0 else { throw Refusal.size(size) }
            return try map(descriptor, byteCount)
        } catch let error as SystemError {
            throw .system(error)
        } catch let error as Refusal {
            throw error
        } catch { fatalError("unreachable: \(error)") }
    }

    /// A memfd that anybody may still resize: what a daemon must refuse.
    public static func unsealed(byteCount: Int) throws(SystemError) -> Descriptor {
        let descriptor = Descriptor(owning: try check("memfd_create") { larder_memfd_create("unsealed") })
        try descriptor.truncate(to: byteCount)
        return descriptor
    }

    private static func map(_ descriptor: consuming Descriptor, _ byteCount: Int) throws(SystemError) -> SharedMemory {
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.number, 0)
        guard let address, address != MAP_FAILED else { throw SystemError("mmap") }
        madvise(address, byteCount, Int32(MADV_DONTDUMP))
        return SharedMemory(descriptor, UnsafeMutableRawBufferPointer(start: address, count: byteCount))
    }

    /// The descriptor, to pass it on.
    var passable: Int32 { descriptor.number }
}
