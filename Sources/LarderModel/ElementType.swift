/// The number format of a component's state. Raw values are those of the wire and of the stored header.
public enum ElementType: UInt8, Sendable, CaseIterable, Codable {
    /// Brain floating point, 16 bits.
    case bf16 = 1
    /// IEEE 754 binary16.
    case f16 = 2
    /// IEEE 754 binary32.
    case f32 = 3
    /// OCP 8-bit float, 4 exponent and 3 mantissa bits.
    case f8e4m3 = 4
    /// OCP 8-bit float, 5 exponent and 2 mantissa bits.
    case f8e5m2 = 5
    /// Signed 8-bit integer (quantised caches).
    case i8 = 6
    /// Bytes of no declared structure.
    case bytes = 7

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .bf16, .f16: 2
        case .f32: 4
        case .f8e4m3, .f8e5m2, .i8, .bytes: 1
        }
    }

    /// The name that the CLI and the documentation use.
    public var name: String { "\(self)" }
}
