import CLarderKernels

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4): by the machine's own instruction where it has one.
public enum CRC32C {
    /// The checksum of `bytes`, continuing from `previous` (0 to start).
    @inline(__always)
    public static func checksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        larder_crc32c(previous, bytes.baseAddress, bytes.count)
    }

    /// Copies `source` to `destination`, which is at least as long, and returns the checksum of what was copied.
    @inline(__always)
    package static func copy(_ source: UnsafeRawBufferPointer, to destination: UnsafeMutableRawPointer) -> UInt32 {
        larder_crc32c_copy(0, destination, source.baseAddress, source.count)
    }

    /// The same by tables, for machines without the instruction and for the tests.
    package static func softwareChecksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        larder_crc32c_software(0, bytes.baseAddress, bytes.count)
    }

    /// Name of the implementation in use.
    public static var implementation: String { String(cString: larder_crc32c_name()) }
}
