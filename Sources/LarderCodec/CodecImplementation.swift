/// Which of its implementations the codec uses on this machine, for logs and status.
public enum CodecImplementation {
    /// The cascade's kernel: avx512vbmi2, avx2, vector16 or plain.
    public static var cascadeKernel: String { CascadeKernel.best.name }

    /// The checksum's: its name in the kernels' own words.
    public static var checksum: String { CRC32C.implementation }
}
