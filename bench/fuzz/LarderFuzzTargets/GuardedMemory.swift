import Glibc

/// Memory that ends where a page begins that nobody may touch: one byte too far is a fault, in any build, also of code
/// that no sanitizer looks into. Before it lie bytes that must stay as they are. For one thread at a time.
final class GuardedMemory: @unchecked Sendable {
    private static let pageBytes = 4_096
    private static let canaryBytes = 64
    private static let canary: UInt8 = 0xC5

    /// The most bytes that ``room(_:)`` gives.
    let capacity: Int
    private let start: UnsafeMutableRawPointer
    private let end: UnsafeMutableRawPointer
    private var used = 0

    init(capacity: Int) {
        self.capacity = capacity
        let bytes = (capacity + Self.canaryBytes + Self.pageBytes - 1) / Self.pageBytes * Self.pageBytes
        let memory = mmap(
            nil, bytes + Self.pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED, mprotect(memory + bytes, Self.pageBytes, PROT_NONE) == 0 else {
            fatalError("no memory for fuzzing")
        }
        (start, end) = (memory, memory + bytes)
    }

    deinit { munmap(start, end - start + Self.pageBytes) }

    /// The last `count` bytes before the guard, of undefined content. What was given before is no longer valid.
    func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
        precondition(count <= capacity, "more than there is")
        used = count
        memset(end - count - Self.canaryBytes, Int32(Self.canary), Self.canaryBytes)
        return UnsafeMutableRawBufferPointer(start: end - count, count: count)
    }

    /// A copy of `bytes` that ends at the guard.
    func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let room = room(bytes.count)
        room.copyMemory(from: bytes)
        return UnsafeRawBufferPointer(room)
    }

    /// Throws ``FuzzFinding`` if something was written before the memory.
    func requireUntouched() throws {
        let before = UnsafeRawBufferPointer(start: end - used - Self.canaryBytes, count: Self.canaryBytes)
        try require(before.allSatisfy { $0 == Self.canary }, "bytes were written before the start of the memory")
    }
}
