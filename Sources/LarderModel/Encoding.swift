/// How a stored block is encoded. Raw values are those of the wire and of the stored block table.
public enum Encoding: UInt8, Sendable, CaseIterable, Codable {
    /// The bytes as they came.
    case raw = 1
    /// LZ4 block format.
    case lz4 = 2
    /// The exponent cascade for 16-bit floats (Docs/FORMAT.md).
    case cascade = 3

    /// The name that the CLI and the documentation use.
    public var name: String { "\(self)" }
}

/// What a page-out asks for.
public enum EncodingChoice: UInt8, Sendable, CaseIterable, Codable {
    /// Sample the chunk and take what fits.
    case auto = 0
    /// Only ``Encoding/raw``.
    case raw = 1
    /// ``Encoding/lz4`` where it saves bytes.
    case lz4 = 2
    /// ``Encoding/cascade`` where it saves bytes; 16-bit floats only.
    case cascade = 3
}

/// When a page-out is answered.
public enum Acknowledgement: UInt8, Sendable, CaseIterable, Codable {
    /// The daemon holds its own copy and has queued it.
    case accepted = 0
    /// Visible to readers; survives the daemon's death.
    case committed = 1
    /// Survives power loss.
    case durable = 2
}
