/// Why a chunk was evicted. Raw values are those of the wire and of the store.
public enum EvictionRule: UInt8, Sendable, CaseIterable, Codable {
    /// Nobody had asked for it for longer than for others, and room was needed.
    case cold = 1
    /// Its time to live had passed.
    case expired = 2
    /// No resume point could use it.
    case useless = 3
    /// An admin asked for it.
    case requested = 4

    /// Its namespace was above its quota.
    case quota = 5

    /// The name that the CLI and the documentation use.
    public var name: String { "\(self)" }
}
