import CLZ4

/// The LZ4 block format, through its library.
enum LZ4 {
    /// Compresses into `output`; 0 if it does not fit there.
    static func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        Int(
            LZ4_compress_default(
                input.baseAddress?.assumingMemoryBound(to: CChar.self),
                output.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(input.count), Int32(output.count)))
    }

    /// True if `input` decompresses to exactly the bytes of `output`. Safe on hostile input.
    static func decompress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Bool {
        Int(
            LZ4_decompress_safe(
                input.baseAddress?.assumingMemoryBound(to: CChar.self),
                output.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(input.count), Int32(output.count)))
            == output.count
    }
}
