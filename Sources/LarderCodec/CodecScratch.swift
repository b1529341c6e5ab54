import LarderModel

/// Working memory of an encoder or decoder: one for each thread that does either, about 1.3 MiB.
public final class CodecScratch {
    /// Values of the largest block, 16 bits each.
    static let values = Limits.blockBytes / 2
    /// What vector kernels may touch beyond a buffer's nominal end.
    static let slack = 512

    private let memory: UnsafeMutableRawPointer
    /// Two lists of escapes that the levels write in turn.
    let escapes: (UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<UInt8>)
    /// The channel bases, repeated for the kernels.
    let bases: UnsafeMutablePointer<UInt8>
    /// One block of 16-bit halves of 32-bit values.
    let halves: UnsafeMutableRawBufferPointer
    /// An encoded block before it is known to be small enough.
    let block: UnsafeMutableRawBufferPointer
    /// A raw block whose place is wanted for the encoded one.
    let raw: UnsafeMutableRawBufferPointer

    /// Allocates.
    public init() {
        let list = Self.values + Self.slack
        let baseBytes = Cascade.widthLimit * 2 + 64 + Self.slack
        let blockBytes = Limits.blockBytes + Self.slack
        memory = .allocate(byteCount: 2 * list + baseBytes + 3 * blockBytes, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: 2 * list + baseBytes + 3 * blockBytes)
        let start = memory.assumingMemoryBound(to: UInt8.self)
        escapes = (start, start + list)
        bases = start + 2 * list
        halves = UnsafeMutableRawBufferPointer(start: memory + 2 * list + baseBytes, count: blockBytes)
        block = UnsafeMutableRawBufferPointer(start: memory + 2 * list + baseBytes + blockBytes, count: blockBytes)
        raw = UnsafeMutableRawBufferPointer(start: memory + 2 * list + baseBytes + 2 * blockBytes, count: blockBytes)
    }

    deinit { memory.deallocate() }
}
