/// Why a component of a session cannot be restored at an offset. Raw values are those of the wire.
public enum MissCause: UInt8, Sendable, CaseIterable, Codable {
    /// It can be.
    case none = 0
    /// The component has no state in this session at all.
    case noState = 1
    /// The missing tokens, or the state, were never put; or a truncate took them.
    case neverStored = 2
    /// They were evicted.
    case evicted = 3
    /// They are stored, but their record is damaged.
    case damaged = 4
}
