import LarderCodec
import LarderModel
import Testing

/// One block through one kernel, in memory of exactly the size that a kernel may use, with canaries behind it.
enum CascadeRun {
    private static let canary: UInt8 = 0xA5
    private static let canaries = 64

    /// The encoded block, empty where it would not save bytes.
    static func encode(
        _ raw: [UInt8], _ elementType: ElementType, width: Int, _ kernel: CascadeKernel, _ scratch: CodecScratch
    ) -> [UInt8] {
        let input = copied(raw)
        defer { input.deallocate() }
        return guarded(raw.count) { output in
            Cascade.encode(
                UnsafeRawBufferPointer(input), elementType: elementType, width: width, into: output, scratch: scratch,
                kernel: kernel)
        }
    }

    /// The raw bytes, or nil where the block is damaged.
    static func decode(
        _ block: [UInt8], _ elementType: ElementType, rawBytes: Int, _ kernel: CascadeKernel, _ scratch: CodecScratch
    ) -> [UInt8]? {
        let input = copied(block)
        defer { input.deallocate() }
        var isWhole = false
        let output = guarded(rawBytes) { output in
            isWhole = Cascade.decode(
                UnsafeRawBufferPointer(input), elementType: elementType, into: output, scratch: scratch, kernel: kernel)
            return rawBytes
        }
        return isWhole ? output : nil
    }

    private static func guarded(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) -> [UInt8] {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count + canaries, alignment: 1)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: canary)
        let used = body(UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
        #expect(memory[count...].allSatisfy { $0 == canary }, "bytes were written past the end of the output")
        return Array(memory[..<used])
    }
}
